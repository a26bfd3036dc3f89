"""The init of one pod in tier `proc`: forks its containers and sees their ends, in no namespace of its own.

Differs from init.py in what the kernel does not do here: it is a subreaper, so that orphans of its containers are its own, and
kills them when their container ends.
"""

from __future__ import annotations

import os
import socket
from typing import NoReturn

from wherry.launcher import syscalls
from wherry.launcher.init import PodInit
from wherry.launcher.proc import container, hidden, landlock, remains, signalling
from wherry.launcher.processes import Running
from wherry.launcher.protocol import LauncherError, Message
from wherry.launcher.rootfs import Writable
from wherry.launcher.specs import ContainerSpec

IMAGES = "launcher/images"
"""In the state directory: images of read-only roots, see promises.py."""


class ProcPod(PodInit):
    """One per pod."""

    def set_up(self, link: int) -> int:
        """Directories for memory volumes. Raises LauncherError for what needs namespaces."""
        del link
        if self._spec["sysctls"]:
            names = ", ".join(self._spec["sysctls"])
            raise LauncherError("CreatePodSandboxError", f"sysctls {names}: tier proc has no namespaces to set them in")
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        landlock.keep_apart()
        self._readable = hidden.shown(os.fsencode(self._context.options.state))
        for path in self._spec["memory_volumes"]:
            os.chmod(path, 0o1777)  # noqa: S103 -- as a tmpfs of a pod is
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def _become(self, spec: ContainerSpec, writable: Writable, status: socket.socket, stdio: list[int]) -> NoReturn:
        shared = os.path.join(self._context.options.state, IMAGES)
        container.become(
            spec,
            self._spec["hostname"],
            writable,
            shared,
            self._readable,
            status,
            stdio,
            holds=not self._context.options.exact,
            tcp=self._may_use_tcp(),
        )

    def _become_beside(
        self, argv: list[str], running: Running, status: socket.socket, stdio: list[int], *, tty: bool
    ) -> NoReturn:
        container.become_beside(
            argv,
            running.spec,
            self._spec["hostname"],
            running.promises,
            running.writable,
            self._readable,
            status,
            stdio,
            tty=tty,
            holds=not self._context.options.exact,
            tcp=self._may_use_tcp(),
        )

    def _may_use_tcp(self) -> bool:
        """By itself: where the shim cannot on duplicates, or the machine's network is the pod's."""
        return not self._context.options.exact or bool(self._spec["host_network"])

    def _fork_child(self, *, shared: bool) -> tuple[int, str]:
        del shared
        pid = os.fork()
        return pid, f"sid:{pid}"

    def _fork_child_beside(self, running: Running) -> int:
        del running
        return os.fork()

    def _ready(self, running: Running, message: Message, fds: list[int]) -> None:
        """The shim has to know who it is before the program's first call."""
        running.promises = message["promises"]
        ip = "" if self._spec["host_network"] else self._spec["ip"]
        assert self._connection is not None
        guest = {
            "sandbox": self._id,
            "container": running.id,
            "ip": ip,
            "hostname": self._spec["hostname"],
            "promises": running.promises,
            "upper": container.upper_of(running.spec, running.writable),
        }
        self._connection.send({"event": "guest", "guest": guest}, fds)

    def _signal(self, running: Running, number: int) -> None:
        try:
            signalling.send(running.pid, running.pidfd, number, streams=not self._context.options.exact)
        except ProcessLookupError:  # it has just ended
            return

    def _ended(self, running: Running) -> None:
        """Also what it left behind. With several containers only what stayed in its session is surely its own."""
        alone = not any(each is not running for each in self._containers.values())
        live = {each.pid for each in self._containers.values() if each is not running} | self._execs.keys()
        if alone:
            remains.end_children(lambda _: True)
        else:
            remains.end_children(lambda each: each[0] not in live and each[2] == running.pid)
        super()._ended(running)
