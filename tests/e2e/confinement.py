"""An ordinary container around a command, as Docker makes one by default; or one that is confined further. Needs root.

    python confinement.py [--user NAME] [--no-capabilities] [--no-new-privileges] [--no-user-namespaces] \
        [--unfiltered] [--network host] [--volume DIR]... -- COMMAND...

Its own mount, pid, network, IPC and UTS namespaces; the machine's files, copy-on-write, as its image; /proc with Docker's
masked and read-only paths, a small /dev with 64 MB of shared memory; Docker's capabilities and seccomp filter
(docker_profile.py). Differs: its eth0 leads nowhere, there are no cgroups of its own and no AppArmor, and
`--no-user-namespaces` sets user.max_user_namespaces in a user namespace of its own, so that the machine's stays as it is.
Nothing of it remains when the command has ended.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import docker_profile

from wherry.launcher import capabilities, mounts, rtnetlink, syscalls
from wherry.launcher.overlays import overlay

MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
SHARED_MEMORY = "64m"
ADDRESS, GATEWAY = "172.17.0.2", "172.17.0.1"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
          "ptmx": "pts/ptmx"}  # fmt: skip
_MAX_USER_NAMESPACES = "sys/user/max_user_namespaces"


@dataclass(frozen=True)
class Confinement:
    """Docker's default container, unless said otherwise. `user`: whom the command runs as, root if empty."""

    user: str = ""
    capabilities: bool = True
    new_privileges: bool = True
    user_namespaces: bool = True
    filtered: bool = True
    host_network: bool = False
    volumes: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """What makes it, for a command line."""
        words = [sys.executable, __file__]
        words += ["--user", self.user] if self.user else []
        words += [] if self.capabilities else ["--no-capabilities"]
        words += [] if self.new_privileges else ["--no-new-privileges"]
        words += [] if self.user_namespaces else ["--no-user-namespaces"]
        words += [] if self.filtered else ["--unfiltered"]
        words += ["--network", "host"] if self.host_network else []
        for volume in self.volumes:
            words += ["--volume", volume]
        return [*words, "--"]

    def run(self, command: Sequence[str]) -> int:
        """The command's exit code; on SIGTERM and SIGINT everything inside is killed."""
        scratch = tempfile.mkdtemp(prefix="wherry-container-")
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        init = self._start(scratch, command)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os.kill(init, signal.SIGKILL))
        try:
            return os.waitstatus_to_exitcode(os.waitpid(init, 0)[1])
        finally:
            for path, folders, _ in os.walk(scratch):
                for name in folders:  # overlayfs leaves one of mode 000
                    if not os.path.islink(os.path.join(path, name)):
                        os.chmod(os.path.join(path, name), 0o700)
            shutil.rmtree(scratch)

    def _start(self, scratch: str, command: Sequence[str]) -> int:
        """The number of the container's first process."""
        ours, theirs = socket.socketpair()
        flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
        flags |= 0 if self.host_network else syscalls.CLONE_NEWNET
        middle = os.fork()
        if middle == 0:
            try:
                syscalls.unshare(flags)
                init = os.fork()
                if init == 0:
                    ours.close()
                    self._live(scratch, command, theirs)
                theirs.sendall(init.to_bytes(4))
            finally:
                os._exit(0)
        init = int.from_bytes(ours.recv(4))
        os.waitpid(middle, 0)
        theirs.close()
        ours.sendall(b"g")  # it is our child from now on
        if not self.user_namespaces and ours.recv(1):
            for file in ("uid_map", "gid_map"):
                # Whoever there is out here is the same one in there.
                inside = [line.split() for line in Path(f"/proc/self/{file}").read_text().splitlines()]
                Path(f"/proc/{init}/{file}").write_text("".join(f"{at} {at} {count}\n" for at, _, count in inside))
            ours.sendall(b"m")
        ours.close()
        return init

    def _live(self, scratch: str, command: Sequence[str], control: socket.socket) -> NoReturn:
        """Be process 1: make the container, start the command in it, bury the dead until it ends."""
        try:
            control.recv(1)
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
            proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
            mounts.make_slave("/")
            syscalls.sethostname("container")
            if not self.host_network:
                _make_network()
            self._enter_root(scratch)
            if not self.user_namespaces:
                self._forbid_user_namespaces(proc, control)
            os.close(proc)
            control.close()
            child = os.fork()
            if child == 0:
                self._become(command)
            while True:
                pid, status = os.wait()
                if pid == child:
                    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
        except BaseException as error:  # noqa: BLE001 -- a fork must not run its parent's code
            print(f"container: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(125)

    def _enter_root(self, scratch: str) -> None:
        root = f"{scratch}/root"
        for name in ("upper", "work", "root"):
            os.mkdir(f"{scratch}/{name}", 0o755)
        overlay(root, ["/"], f"{scratch}/upper", f"{scratch}/work")
        for volume in self.volumes:
            os.makedirs(root + volume, exist_ok=True)
            mounts.attach(mounts.open_tree(volume, recursive=False), root + volume)
        mounts.attach(mounts.new_filesystem("proc", _NO_PROGRAMS), f"{root}/proc")
        mounts.attach(mounts.new_filesystem("sysfs", mounts.ATTR_RDONLY | _NO_PROGRAMS), f"{root}/sys")
        _make_devices(f"{root}/dev")
        for path in MASKED:
            if os.path.isdir(root + path):
                mounts.attach(mounts.new_filesystem("tmpfs", mounts.ATTR_RDONLY), root + path)
            elif os.path.exists(root + path):
                mounts.attach(mounts.open_tree("/dev/null", recursive=False), root + path)
        for path in READ_ONLY:
            if os.path.exists(root + path):
                tree = mounts.open_tree(root + path)
                mounts.set_attributes(tree, mounts.ATTR_RDONLY)
                mounts.attach(tree, root + path)
        working_directory = os.getcwd()
        os.chdir(root)
        mounts.pivot_root_here()
        os.chdir(working_directory)

    def _forbid_user_namespaces(self, proc: int, control: socket.socket) -> None:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        control.sendall(b"u")
        control.recv(1)
        # The setting is the reader's namespace's; the container's own /proc/sys is read-only by now.
        file = os.open(_MAX_USER_NAMESPACES, os.O_WRONLY, dir_fd=proc)
        os.write(file, b"0")
        os.close(file)

    def _become(self, command: Sequence[str]) -> NoReturn:
        try:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            if self.filtered:
                docker_profile.install()
            kept = capabilities.DEFAULT if self.capabilities else frozenset[str]()
            capabilities.limit_bounding(kept)
            environment = dict(os.environ)
            if self.user:
                entry = pwd.getpwnam(self.user)
                os.setgroups([])
                os.setgid(entry.pw_gid)
                os.setuid(entry.pw_uid)
                environment |= {"HOME": entry.pw_dir, "USER": self.user}
            capabilities.apply(frozenset() if self.user else kept)
            if not self.new_privileges:
                syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
            os.execvpe(command[0], list(command), environment)
        except BaseException as error:  # noqa: BLE001 -- as above
            print(f"container: {command[0]}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(126)


_NO_PROGRAMS = mounts.ATTR_NOSUID | mounts.ATTR_NODEV | mounts.ATTR_NOEXEC


def _make_network() -> None:
    """Loopback, and an eth0 like Docker's, to an empty network that a descriptor keeps for as long as this process lives."""
    outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.unshare(syscalls.CLONE_NEWNET)
    with rtnetlink.Netlink() as netlink:
        netlink.transact([
            rtnetlink.link_up(1),
            rtnetlink.veth(2, "eth0", 2, "bridge", outside),
            rtnetlink.address(2, ADDRESS),
            rtnetlink.route(2, GATEWAY),
            rtnetlink.route(2, None, gateway=GATEWAY),
        ])  # fmt: skip
    inside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.setns(outside, syscalls.CLONE_NEWNET)
    with rtnetlink.Netlink() as netlink:
        netlink.transact([rtnetlink.address(2, GATEWAY), rtnetlink.link_up(2)])
    syscalls.setns(inside, syscalls.CLONE_NEWNET)
    os.close(inside)


def _make_devices(at: str) -> None:
    mounts.attach(mounts.new_filesystem("tmpfs", mounts.ATTR_NOSUID, mode="755", size="65536k"), at)
    for name in _DEVICES:
        Path(at, name).touch()
        mounts.attach(mounts.open_tree(f"/dev/{name}", recursive=False), f"{at}/{name}")
    for name, target in _LINKS.items():
        Path(at, name).symlink_to(target)
    for name in ("pts", "shm", "mqueue"):
        Path(at, name).mkdir()
    mounts.attach(mounts.new_filesystem("devpts", mode="620", ptmxmode="666", gid="5"), f"{at}/pts")
    mounts.attach(mounts.new_filesystem("tmpfs", _NO_PROGRAMS, mode="1777", size=SHARED_MEMORY), f"{at}/shm")
    mounts.attach(mounts.new_filesystem("mqueue", _NO_PROGRAMS), f"{at}/mqueue")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--user", default="")
    parser.add_argument("--no-capabilities", action="store_false", dest="capabilities")
    parser.add_argument("--no-new-privileges", action="store_false", dest="new_privileges")
    parser.add_argument("--no-user-namespaces", action="store_false", dest="user_namespaces")
    parser.add_argument("--unfiltered", action="store_false", dest="filtered")
    parser.add_argument("--network", choices=["none", "host"], default="none")
    parser.add_argument("--volume", action="append", default=[])
    parser.add_argument("command", nargs="+")
    options = vars(parser.parse_args())
    command = options.pop("command")
    host_network = options.pop("network") == "host"
    volumes = tuple(os.path.realpath(each) for each in options.pop("volume"))
    return Confinement(**options, host_network=host_network, volumes=volumes).run(command)


if __name__ == "__main__":
    raise SystemExit(main())
