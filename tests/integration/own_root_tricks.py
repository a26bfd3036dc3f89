"""A program in a container whose image has a root of its own, which looks for ways out of it: prints `<name>: <what was wrong>`
for each that leads to the machine's file of its first argument, or executes the machine's program of its second one, then `done`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

SECRET, PROGRAM = sys.argv[1:]
UP = "../" * 40
RACES = 2000
MACHINES_ROOT = (
    "/proc/self/root", "/proc/self/./root", "/proc//self/root", "/proc/1/root", "/proc/thread-self/root",
    f"/proc/self/task/{os.getpid()}/root", f"/proc/self/cwd/{UP}", "/proc/self/../self/root", "/dev/../proc/self/root",
    "/proc/self/root/proc/self/root", "/tmp/to-root", "/tmp/to-proc", "/", f"/{UP}",
)  # fmt: skip


def attempt(name: str, trick: Callable[[], object]) -> None:
    try:
        found = trick()
    except OSError:
        return
    if found:
        print(f"{name}: {found!r}", flush=True)


def read(path: str, folder: int | None = None) -> bytes:
    fd = os.open(path, os.O_RDONLY, dir_fd=folder)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def from_inside(enter: Callable[[], None]) -> object:
    enter()
    try:
        return os.path.exists(SECRET[1:]) or os.path.basename(SECRET) in os.listdir(".")
    finally:
        os.chdir("/tmp")


def by_name() -> None:
    os.symlink(SECRET, "/tmp/to-secret")
    os.symlink(UP + SECRET[1:], "/tmp/up-to-secret")
    os.symlink("/", "/tmp/to-root")
    os.symlink("/proc/self/root", "/tmp/to-proc")
    for path in (SECRET, UP + SECRET[1:], "to-secret", "/tmp/to-secret", "up-to-secret", "/tmp/up-to-secret"):
        for call in (read, os.stat, os.listdir, lambda each: os.truncate(each, 0), lambda each: os.chmod(each, 0) or 1):
            attempt(path, lambda call=call, path=path: call(path))
    for root in MACHINES_ROOT:
        attempt(f"read {root}", lambda root=root: read(root + SECRET))
        attempt(f"stat {root}", lambda root=root: os.stat(root + SECRET))
        attempt(f"enter {root}", lambda root=root: from_inside(lambda: os.chdir(root)))
    attempt("link", lambda: os.link(SECRET, "/tmp/linked") or 1)
    attempt("rename", lambda: os.rename(SECRET, "/tmp/renamed") or 1)


def by_descriptor() -> None:
    for root in (*MACHINES_ROOT, "/proc/self", "/proc/1/cwd"):
        for flags in (os.O_RDONLY, os.O_PATH):
            with suppress(OSError):
                fd = os.open(root, flags | os.O_DIRECTORY)
                for path in (
                    f".{SECRET}",
                    f"root{SECRET}",
                    UP + SECRET[1:],
                    f"..{SECRET}",
                    f"/proc/self/fd/{fd}{SECRET}",
                ):
                    attempt(f"{path} of {root}", lambda path=path, fd=fd: read(path, fd))
                    attempt(f"stat {path} of {root}", lambda path=path, fd=fd: os.stat(path, dir_fd=fd))
                attempt(f"fchdir {root}", lambda fd=fd: from_inside(lambda: os.fchdir(fd)))
                os.close(fd)


def by_executing() -> None:
    os.symlink(PROGRAM, "/tmp/program")
    os.symlink(UP + PROGRAM[1:], "/tmp/up-to-program")
    with open("/tmp/script", "w") as file:
        file.write(f"#!{PROGRAM}\n")
    os.chmod("/tmp/script", 0o755)
    for path in (PROGRAM, "/tmp/program", "./program", "./up-to-program", "/tmp/script", f"/proc/self/root{PROGRAM}"):
        attempt(
            f"execute {path}", lambda path=path: subprocess.run([path], cwd="/tmp", capture_output=True).returncode == 0
        )


def by_race() -> None:
    """A directory that is one moment a link far up, the next one nothing of the kind."""
    os.makedirs(f"/tmp/mine{os.path.dirname(SECRET)}")
    with open(f"/tmp/mine{SECRET}", "w"):
        pass
    ends = False

    def swap() -> None:
        while not ends:
            os.symlink(UP[:-1], "/tmp/link")
            os.rename("/tmp/link", "/tmp/moved")
            os.unlink("/tmp/moved")
            os.rename("/tmp/mine", "/tmp/moved")
            os.rename("/tmp/moved", "/tmp/mine")

    swapper = threading.Thread(target=swap)
    swapper.start()
    for _ in range(RACES):
        for path in (f"moved{SECRET}", f"/tmp/moved{SECRET}"):
            attempt(f"race {path}", lambda path=path: read(path))
    ends = True
    swapper.join()


os.chdir("/tmp")
for tricks in (by_name, by_descriptor, by_executing, by_race):
    tricks()
print("done", flush=True)
