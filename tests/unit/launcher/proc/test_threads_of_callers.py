"""What is kept of threads: of whom a pidfd is is known without asking, until the thread has ended; memory, until it executes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from wherry.launcher.proc import threads as module
from wherry.launcher.proc.outcomes import GoneError
from wherry.launcher.proc.threads import Threads

pytestmark = pytest.mark.usefixtures("nothing_collected")


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads()
    yield threads
    threads.close()


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    found = [subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) for _ in range(3)]
    for child in found:  # it has been executed, and is all there once it answers
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"x")
        assert child.stdout.read(1) == b"x"
    yield found
    for child in found:
        child.communicate()


def test_a_thread_is_known_from_its_second_call_on(threads: Threads, children: list[subprocess.Popen[bytes]]) -> None:
    pid = children[0].pid
    assert threads.duplicate_of_known(pid, 0) == -1
    first = threads.duplicate(pid, 0)
    second = threads.duplicate_of_known(pid, 0)
    assert os.path.samestat(os.fstat(first), os.fstat(second))
    for fd in (first, second):
        os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        threads.duplicate(pid, 999)


def test_one_that_has_ended_is_forgotten(threads: Threads, children: list[subprocess.Popen[bytes]]) -> None:
    pid = children[0].pid
    os.close(threads.duplicate(pid, 0))
    children[0].communicate()
    assert threads.duplicate_of_known(pid, 0) == -1
    with pytest.raises(GoneError):
        threads.duplicate(pid, 0)


def test_memory_is_that_of_the_program_it_was_opened_for(
    threads: Threads, children: list[subprocess.Popen[bytes]]
) -> None:
    pid, address, size = children[0].pid, *_somewhere(children[0].pid)
    assert threads.memory_of_known(pid, address, size) == b""
    os.close(threads.duplicate(pid, 0))
    threads.open_memory(pid)
    assert threads.memory_of_known(pid, address, size).startswith(b"\x7fELF")
    assert threads.memory_of_known(pid, 1, size) == threads.memory_of_known(pid, 1 << 63, size) == b""
    threads.forget_memory()
    assert threads.memory_of_known(pid, address, size) == b""
    threads.open_memory(pid)
    children[0].communicate()
    assert threads.memory_of_known(pid, address, size) == b""
    assert threads.duplicate_of_known(pid, 0) == -1


def _somewhere(pid: int) -> tuple[int, int]:
    """Address and size of a part of a program: its first page."""
    with open(f"/proc/{pid}/maps") as lines:
        return int(next(line for line in lines if line.rstrip().endswith("/cat")).split("-")[0], 16), 64


def test_as_many_are_kept_as_there_is_room_for(
    threads: Threads, children: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 2)
    before = len(os.listdir("/proc/self/fd"))
    for child in children:
        os.close(threads.duplicate(child.pid, 0))
        threads.open_memory(child.pid)
    assert len(os.listdir("/proc/self/fd")) == before + 4
    assert threads.duplicate_of_known(children[0].pid, 0) == -1
