"""The init of one pod in tier `proc`: forks its containers and sees their ends, in no namespace of its own.

Differs from init.py in what the kernel does not do here: it is a subreaper, so that orphans of its containers are its own, and
kills them when their container ends.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import NoReturn

from wherry.launcher import protocol, syscalls
from wherry.launcher.context import Context
from wherry.launcher.init import PodInit, become
from wherry.launcher.proc import container, hidden, kits, landlock, rehearsal, remains, shared_memory, signalling
from wherry.launcher.processes import Running
from wherry.launcher.protocol import Message
from wherry.launcher.rootfs import Writable
from wherry.launcher.sandboxes import make_directories
from wherry.launcher.specs import ContainerSpec, SandboxSpec

Child = tuple[int, socket.socket]
"""A process that becomes a container once it is told which, see container.py: its number, and where."""


def wait(context: Context, sock: socket.socket, *, ahead: bool) -> NoReturn:
    """In a fork of the nursery: be ready, with a child that is, until there is a pod to be the init of; `ahead` of that, or while
    somebody waits for it. Never returns."""

    def begin() -> ProcPod | None:
        syscalls.set_process_name("wherry-spare")
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        landlock.keep_apart()
        kit = kits.make(context.options.state) if ahead else ""
        child = _fork_child(context, kit) if ahead else None
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        protocol.send(sock, {"event": "ready", "kit": kit}, [null, os.pidfd_open(os.getpid())])
        os.close(null)
        if kit:
            rehearsal.start_container(kit)
        if child is None:
            with suppress(OSError):  # where it is needed, it is tried again
                child = _fork_child(context, "")
        received = protocol.receive(sock)
        if received is None:  # the launcher has gone
            return None
        syscalls.set_process_name("wherry-pod")
        spec: SandboxSpec = received[0]["spec"]
        with suppress(OSError):  # where it matters, starting a container says so
            make_directories(spec)
        return ProcPod(context, received[0]["id"], spec, child, kit)

    become(sock, begin)


def _fork_child(context: Context, kit: str) -> Child:
    ours, theirs = protocol.socketpair()
    pid = os.fork()
    if pid == 0:
        container.wait(context, theirs, kit)
    theirs.close()
    return pid, ours


class ProcPod(PodInit):
    """One per pod. `child` becomes its first container, with the directories of `kit`."""

    def __init__(self, context: Context, sandbox_id: str, spec: SandboxSpec, child: Child | None, kit: str) -> None:
        super().__init__(context, sandbox_id, spec)
        self._child = child
        self._kit = kit
        self._memory = ""
        self._readable = hidden.shown(os.fsencode(self._context.options.state))

    def _begin(self, spec: ContainerSpec, writable: Writable, stdio: list[int]) -> tuple[int, str, socket.socket]:
        orders = {
            "spec": spec,
            "directory": writable.directory,
            "kit": self._kit,
            "shared_memory": self._shared_memory(),
            "hostname": self._spec["hostname"],
            "readable": [os.fsdecode(each) for each in self._readable],
            "tcp": self._may_use_tcp(),
        }
        child, self._child = self._child, None
        try:
            pid, ours = child or _fork_child(self._context, "")
            protocol.send(ours, orders, stdio)
        except ConnectionError:  # it was killed while it waited
            pid, ours = _fork_child(self._context, "")
            protocol.send(ours, orders, stdio)
        if spec["log_path"]:
            kits.place_log(self._kit, os.path.join(self._spec["log_directory"], spec["log_path"]))
        return pid, f"sid:{pid}", ours

    def _shared_memory(self) -> str:
        """The pod's directory of it, made for its first container. Raises OSError."""
        if not self._memory:
            folder = self._context.shared_memory
            machines = os.fsdecode(shared_memory.machines())
            is_machines = self._spec["host_ipc"]
            self._memory = machines if is_machines else shared_memory.make(folder, self._id, self._spec["directory"])
        return self._memory

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
        kits.discard(self._kit)
        self._kit = ""

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

    def _fork_child_beside(self, running: Running) -> int:
        del running
        return os.fork()

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
