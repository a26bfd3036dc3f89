"""Operations on pod sandboxes.

A sandbox is over when its init has ended *and* the kernel has killed everything in its pid namespace: its pidfd says so,
the end of the conversation with the init comes earlier.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
from collections.abc import Mapping

from wherry.launcher import cgroups, init, jobs, protocol, syscalls, trees
from wherry.launcher.connection import Connection
from wherry.launcher.context import Context
from wherry.launcher.inits import Inits
from wherry.launcher.loop import READ, Loop
from wherry.launcher.protocol import LauncherError, Message
from wherry.launcher.records import NOTREADY, READY, Records, Sandbox, release, wall_time
from wherry.launcher.requests import Operation, Request
from wherry.launcher.specs import SandboxSpec

_FIRST_LINK = 100  # interface indexes of veths in the node's network; below are lo and what a user may add


def make_directories(spec: SandboxSpec) -> None:
    """Of a pod: what its containers write, and their logs. Raises OSError."""
    os.makedirs(spec["log_directory"], mode=0o700, exist_ok=True)
    os.makedirs(spec["directory"], exist_ok=True)


class SandboxOperations:
    """`control` leads to the outer process, which forks the inits of pods in the host's network."""

    def __init__(self, context: Context, loop: Loop, control: socket.socket, records: Records, inits: Inits) -> None:
        self._context = context
        self._loop = loop
        self._control = control
        self._records = records
        self._inits = inits
        self._links = itertools.count(_FIRST_LINK)
        self._pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._node_network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def begin(self) -> None:
        """Before the first request."""

    def operations(self) -> Mapping[str, Operation]:
        return {
            "sandbox.run": self._run,
            "sandbox.stop": self._stop,
            "sandbox.remove": self._remove,
            "sandbox.list": self._list,
            "sandbox.socket": self._socket,
        }

    def _list(self, request: Request) -> None:
        """-> everything but what is still being made."""
        request.answer({"items": [each.describe() for each in self._records.sandboxes.values() if each.created_at]})

    def _run(self, request: Request) -> None:
        """id, config -> when namespaces and network are there."""
        spec = request.args["config"]
        sandbox = Sandbox(request.text("id"), spec, 0.0)
        if sandbox.id in self._records.sandboxes:
            raise LauncherError("AlreadyExists", f"sandbox {sandbox.id[:12]} exists")
        cgroups.create(self._context.cgroups, sandbox.id, spec["resources"])
        self._records.sandboxes[sandbox.id] = sandbox
        try:
            self._bring_up(sandbox, request)
        except BaseException:
            del self._records.sandboxes[sandbox.id]
            if sandbox.init is not None:
                sandbox.init.close()
            raise

    def _bring_up(self, sandbox: Sandbox, request: Request) -> None:
        """Get it an init, which says when it is ready."""
        make_directories(sandbox.spec)

        def message(_: Connection, message: Message, fds: list[int]) -> None:
            if "id" in message:
                self._inits.answered(sandbox, message, fds)
            elif message.get("event") in ("ready", "failed"):
                self._born(sandbox, request, message, fds)
            else:
                self._heard(sandbox, message, fds)

        def closed(_: Connection) -> None:
            if sandbox.pidfd < 0 and sandbox.id in self._records.sandboxes and not sandbox.created_at:
                self._born(
                    sandbox, request, {"event": "failed", "message": "the pod's init ended before it was ready"}, []
                )

        ours, theirs = protocol.socketpair()
        sandbox.init = Connection(self._loop, ours, message, closed)
        try:
            self._fork_init(sandbox, theirs)
        finally:
            theirs.close()

    def _heard(self, sandbox: Sandbox, message: Message, fds: list[int]) -> None:
        """Its init reports."""
        protocol.close_fds(fds)
        self._records.happened(message)

    def _fork_init(self, sandbox: Sandbox, theirs: socket.socket) -> None:
        if sandbox.spec["host_network"]:
            protocol.send(self._control, {"id": sandbox.id, "spec": sandbox.spec}, [theirs.fileno()])
            return
        link = next(self._links)
        syscalls.unshare(syscalls.CLONE_NEWPID)
        try:
            if os.fork() == 0:
                init.live(self._context, sandbox.id, sandbox.spec, theirs, link)
        finally:
            syscalls.setns(self._pid_namespace, syscalls.CLONE_NEWPID)

    def _born(self, sandbox: Sandbox, request: Request, message: Message, fds: list[int]) -> None:
        if message["event"] == "failed":
            protocol.close_fds(fds)
            self._records.sandboxes.pop(sandbox.id, None)
            if sandbox.init is not None:
                sandbox.init.close()
            cgroups.remove(self._context.cgroups, sandbox.id)
            request.refuse("CreatePodSandboxError", message["message"])
            release(sandbox.waiting)
            return
        sandbox.netns, sandbox.pidfd = fds
        sandbox.created_at = wall_time()
        sandbox.state = READY
        self._loop.watch(sandbox.pidfd, READ, lambda _: self._over(sandbox))
        self._records.tell(sandbox.id, "", "started")
        request.answer()
        if sandbox.waiting:  # it was to be stopped before it was there
            signal.pidfd_send_signal(sandbox.pidfd, signal.SIGKILL)

    def _over(self, sandbox: Sandbox) -> None:
        """The init and everything below it has ended."""
        assert sandbox.init is not None
        sandbox.init.drain()
        self._loop.unwatch(sandbox.pidfd)
        protocol.close_fds([sandbox.pidfd, sandbox.netns])
        sandbox.pidfd = sandbox.netns = -1
        sandbox.state = NOTREADY
        self._inits.gone(sandbox)
        now = wall_time()
        for container in self._records.of(sandbox):
            if container.alive:
                self._records.ended(container, 128 + signal.SIGKILL, now)
            cgroups.remove(self._context.cgroups, f"{sandbox.id}/{container.id}")
        cgroups.remove(self._context.cgroups, sandbox.id)
        self._records.tell(sandbox.id, "", "stopped")
        release(sandbox.waiting)

    def _stop(self, request: Request) -> None:
        """id -> when everything in it has ended, also of one that is still being made. One that is unknown or has ended is no
        error."""
        sandbox = self._records.sandboxes.get(request.text("id"))
        if sandbox is None or (sandbox.created_at and sandbox.pidfd < 0):
            request.answer()
            return
        sandbox.waiting.append(request)
        if sandbox.pidfd >= 0:
            signal.pidfd_send_signal(sandbox.pidfd, signal.SIGKILL)

    def _remove(self, request: Request) -> None:
        """id -> when its containers and files are gone. It must have been stopped."""
        sandbox = self._records.sandboxes.get(request.text("id"))
        if sandbox is None:
            request.answer()
            return
        if sandbox.pidfd >= 0 or not sandbox.created_at:
            raise LauncherError("Running", f"sandbox {sandbox.id[:12]} must be stopped before it is removed")

        def done(error: str | None) -> None:
            if error is not None:
                request.refuse("Kernel", f"remove the files of sandbox {sandbox.id[:12]}: {error}")
                return
            for container in self._records.of(sandbox):
                self._records.drop(container)
            if self._records.sandboxes.pop(sandbox.id, None) is not None:
                self._records.tell(sandbox.id, "", "deleted")
            request.answer()

        jobs.run(self._loop, lambda: trees.remove(sandbox.spec["directory"]), set(), done)

    def _socket(self, request: Request) -> None:
        """id -> a non-blocking TCP socket of the sandbox's network, not connected; without one when that is the host's."""
        sandbox = self._records.sandboxes.get(request.text("id"))
        if sandbox is None or sandbox.netns < 0:
            raise LauncherError("NotRunning", f"sandbox {request.text('id')[:12]} is not running")
        if sandbox.spec["host_network"]:
            request.answer({"host_network": True})
            return
        syscalls.setns(sandbox.netns, syscalls.CLONE_NEWNET)
        try:
            sock = socket.socket(socket.AF_INET6 if request.args.get("ipv6") else socket.AF_INET, socket.SOCK_STREAM)
        finally:
            syscalls.setns(self._node_network, syscalls.CLONE_NEWNET)
        sock.setblocking(False)
        request.answer({}, [sock.fileno()])
        sock.close()
