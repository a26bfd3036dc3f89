"""Operations on sandboxes and containers: the records, and the conversation with each pod's init.

A sandbox is over when its init has ended *and* the kernel has killed everything in its pid namespace (its pidfd says so,
the end of the conversation comes earlier). A container is over when its init says so, or with its sandbox.
Long because all operations share two tables of records and the conversation with the inits.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from wherry.launcher import cgroups, init, jobs, protocol, stats, syscalls, trees
from wherry.launcher.connection import Connection
from wherry.launcher.context import Context
from wherry.launcher.loop import READ, Loop
from wherry.launcher.protocol import LauncherError, Message
from wherry.launcher.records import CREATED, EXITED, NOTREADY, READY, RUNNING, Container, Sandbox
from wherry.launcher.requests import Operation, Request

Publish = Callable[[dict[str, object]], None]
_FIRST_LINK = 100  # interface indexes of veths in the node's network; below are lo and what a user may add


class Pods:
    """`control` leads to the outer process, which forks the inits of pods in the host's network."""

    def __init__(self, context: Context, loop: Loop, control: socket.socket, publish: Publish) -> None:
        self._context = context
        self._loop = loop
        self._control = control
        self._publish = publish
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, Container] = {}
        self._links = itertools.count(_FIRST_LINK)
        self._numbers = itertools.count(1)
        self._calls: dict[tuple[Connection, int], tuple[Request, Callable[[Message, list[int]], None]]] = {}
        self._pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._node_network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._table = stats.ProcessTable()
        self._cpu: dict[str, int] = {}

    def operations(self) -> Mapping[str, Operation]:
        return {
            "sandbox.run": self._run_sandbox,
            "sandbox.stop": self._stop_sandbox,
            "sandbox.remove": self._remove_sandbox,
            "sandbox.list": lambda request: request.answer(
                {"items": [s.describe() for s in self._sandboxes.values() if s.created_at]}
            ),
            "sandbox.socket": self._socket,
            "container.create": self._create,
            "container.start": self._start,
            "container.kill": self._kill,
            "container.wait": self._wait,
            "container.remove": self._remove,
            "container.list": lambda request: request.answer(
                {"items": [c.describe() for c in self._containers.values()]}
            ),
            "container.status": lambda request: request.answer({"item": self._container(request).describe()}),
            "container.exec": self._exec,
            "container.attach": self._attach,
            "container.reopen_log": self._reopen_log,
            "container.upper": lambda request: request.answer({"path": f"{self._container(request).directory}/upper"}),
            "container.archive": self._archive,
            "stats": self._stats,
            "tree.remove": self._remove_tree,
        }

    # sandboxes

    def _run_sandbox(self, request: Request) -> None:
        """id, config -> when namespaces and network are there."""
        spec = request.args["config"]
        sandbox = Sandbox(request.text("id"), spec, 0.0)
        if sandbox.id in self._sandboxes:
            raise LauncherError("AlreadyExists", f"sandbox {sandbox.id[:12]} exists")
        os.makedirs(spec["log_directory"], exist_ok=True)
        os.makedirs(spec["directory"], exist_ok=True)
        cgroups.create(self._context.cgroups, sandbox.id, spec["resources"])
        ours, theirs = protocol.socketpair()

        def message(_: Connection, message: Message, fds: list[int]) -> None:
            if "id" in message:
                self._answered(sandbox, message, fds)
            elif message.get("event") in ("ready", "failed"):
                self._born(sandbox, request, message, fds)
            else:
                protocol.close_fds(fds)
                self._happened(sandbox, message)

        def closed(_: Connection) -> None:
            if sandbox.pidfd < 0 and sandbox.id in self._sandboxes and not sandbox.created_at:
                self._born(
                    sandbox, request, {"event": "failed", "message": "the pod's init ended before it was ready"}, []
                )

        self._sandboxes[sandbox.id] = sandbox
        sandbox.init = Connection(self._loop, ours, message, closed)
        try:
            self._fork_init(sandbox, theirs)
        except BaseException:
            del self._sandboxes[sandbox.id]
            sandbox.init.close()
            raise
        finally:
            theirs.close()

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
            self._sandboxes.pop(sandbox.id, None)
            assert sandbox.init is not None
            sandbox.init.close()
            cgroups.remove(self._context.cgroups, sandbox.id)
            request.refuse("CreatePodSandboxError", message["message"])
            return
        sandbox.netns, sandbox.pidfd = fds
        sandbox.created_at = time.time()
        sandbox.state = READY
        self._loop.watch(sandbox.pidfd, READ, lambda _: self._over(sandbox))
        self._tell(sandbox.id, "", "started")
        request.answer()

    def _over(self, sandbox: Sandbox) -> None:
        """The init and everything below it has ended."""
        assert sandbox.init is not None
        sandbox.init.drain()
        self._loop.unwatch(sandbox.pidfd)
        protocol.close_fds([sandbox.pidfd, sandbox.netns])
        sandbox.pidfd = sandbox.netns = -1
        sandbox.state = NOTREADY
        for key in [key for key in self._calls if key[0] is sandbox.init]:
            self._calls.pop(key)[0].refuse("NotRunning", "the pod has ended")
        now = time.time()
        for container in self._of(sandbox):
            if container.state == RUNNING or container.starting:
                self._ended(container, 128 + signal.SIGKILL, now, oom=False, failure=None)
            cgroups.remove(self._context.cgroups, f"{sandbox.id}/{container.id}")
        cgroups.remove(self._context.cgroups, sandbox.id)
        self._tell(sandbox.id, "", "stopped")
        waiting, sandbox.waiting = sandbox.waiting, []
        for request in waiting:
            request.answer()

    def _stop_sandbox(self, request: Request) -> None:
        """id -> when everything in it has ended. One that is unknown or has ended is no error."""
        sandbox = self._sandboxes.get(request.text("id"))
        if sandbox is None or sandbox.pidfd < 0:
            request.answer()
            return
        sandbox.waiting.append(request)
        signal.pidfd_send_signal(sandbox.pidfd, signal.SIGKILL)

    def _remove_sandbox(self, request: Request) -> None:
        """id -> when its containers and files are gone. It must have been stopped."""
        sandbox = self._sandboxes.get(request.text("id"))
        if sandbox is None:
            request.answer()
            return
        if sandbox.pidfd >= 0:
            raise LauncherError("Running", f"sandbox {sandbox.id[:12]} must be stopped before it is removed")

        def done(error: str | None) -> None:
            if error is not None:
                request.refuse("Kernel", f"remove the files of sandbox {sandbox.id[:12]}: {error}")
                return
            for container in self._of(sandbox):
                self._containers.pop(container.id, None)
                self._cpu.pop(container.id, None)
                self._tell(sandbox.id, container.id, "deleted")
            if self._sandboxes.pop(sandbox.id, None) is not None:
                self._tell(sandbox.id, "", "deleted")
            request.answer()

        jobs.run(self._loop, lambda: trees.remove(sandbox.spec["directory"]), set(), done)

    def _socket(self, request: Request) -> None:
        """id -> a non-blocking TCP socket of the sandbox's network, not connected; without one when that is the host's."""
        sandbox = self._sandboxes.get(request.text("id"))
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

    # containers

    def _create(self, request: Request) -> None:
        """id, sandbox, config: remembers it."""
        sandbox = self._sandboxes.get(request.text("sandbox"))
        if sandbox is None or sandbox.state != READY:
            raise LauncherError("CreateContainerError", f"sandbox {request.text('sandbox')[:12]} is not running")
        container_id = request.text("id")
        if container_id in self._containers:
            raise LauncherError("AlreadyExists", f"container {container_id[:12]} exists")
        directory = os.path.join(sandbox.spec["directory"], container_id[:16])
        self._containers[container_id] = Container(
            container_id, sandbox.id, request.args["config"], directory, time.time()
        )
        self._tell(sandbox.id, container_id, "created")
        request.answer()

    def _start(self, request: Request) -> None:
        """id -> when the program runs; refused with why it does not, and the container has ended then."""
        container = self._container(request)
        sandbox = self._sandboxes[container.sandbox_id]
        if container.state != CREATED or container.starting:
            raise LauncherError("RunContainerError", f"container {container.id[:12]} was started before")
        if sandbox.state != READY:
            raise LauncherError("RunContainerError", f"sandbox {sandbox.id[:12]} is not running")
        container.starting = True

        def answered(message: Message, fds: list[int]) -> None:
            protocol.close_fds(fds)
            if "error" in message:
                if container.starting:
                    self._ended(container, 128, time.time(), oom=False, failure=message["error"])
                request.refuse(message["error"]["reason"], message["error"]["message"])
            else:
                request.answer()

        self._ask(
            sandbox, request, answered, "start", id=container.id, spec=container.spec, writable=container.directory
        )

    def _happened(self, sandbox: Sandbox, message: Message) -> None:
        """An event of the pod's init."""
        container = self._containers.get(message["container"])
        if container is None:
            return
        if message["event"] == "started":
            container.starting = False
            container.state = RUNNING
            container.started_at = message["at"]
            container.namespace = message["namespace"]
            container.pid = message["pid"]
            self._tell(sandbox.id, container.id, "started")
        elif container.state != EXITED:
            self._ended(container, message["code"], message["at"], oom=message["oom"], failure=message["failure"])

    def _ended(self, container: Container, code: int, at: float, *, oom: bool, failure: dict[str, str] | None) -> None:
        container.starting = False
        container.end(code, at, oom=oom, failure=failure)
        if container.namespace.startswith("mnt:"):
            _kill_all(container.namespace)
        self._tell(container.sandbox_id, container.id, "stopped")
        waiting, container.waiting = container.waiting, []
        for request in waiting:
            request.answer()

    def _kill(self, request: Request) -> None:
        """id, signal: one that is not running is no error."""
        container = self._containers.get(request.text("id"))
        if container is None or not (container.state == RUNNING or container.starting):
            request.answer()
            return
        self._relay(
            self._sandboxes[container.sandbox_id], request, "kill", id=container.id, signal=request.number("signal")
        )

    def _wait(self, request: Request) -> None:
        """id -> when it has ended; at once for one that was never started, or is unknown."""
        container = self._containers.get(request.text("id"))
        if container is not None and (container.state == RUNNING or container.starting):
            container.waiting.append(request)
        else:
            request.answer()

    def _remove(self, request: Request) -> None:
        """id -> when its files are gone. It must not be running; an unknown one is no error."""
        container = self._containers.get(request.text("id"))
        if container is None:
            request.answer()
            return
        if container.state == RUNNING or container.starting:
            raise LauncherError("Running", f"container {container.id[:12]} must be stopped before it is removed")

        def done(error: str | None) -> None:
            if error is not None:
                request.refuse("Kernel", f"remove the files of container {container.id[:12]}: {error}")
                return
            self._cpu.pop(container.id, None)
            if self._containers.pop(container.id, None) is not None:
                self._tell(container.sandbox_id, container.id, "deleted")
            request.answer()

        if os.path.isdir(container.directory):
            jobs.run(self._loop, lambda: trees.remove(container.directory), set(), done)
        else:
            done(None)

    def _exec(self, request: Request) -> None:
        """id, argv, tty, stdin -> the leash, then its descriptors."""
        container = self._running(request)
        arguments = {"argv": request.args["argv"], "tty": request.args["tty"], "stdin": request.args["stdin"]}
        self._relay(self._sandboxes[container.sandbox_id], request, "exec", id=container.id, **arguments)

    def _attach(self, request: Request) -> None:
        """id, stdin -> the leash, then copies of its streams."""
        container = self._running(request)
        self._relay(
            self._sandboxes[container.sandbox_id], request, "attach", id=container.id, stdin=request.args["stdin"]
        )

    def _reopen_log(self, request: Request) -> None:
        container = self._running(request)
        self._relay(self._sandboxes[container.sandbox_id], request, "reopen", id=container.id)

    def _archive(self, request: Request) -> None:
        """id and a writable descriptor -> when the writable layer is in it as an OCI layer tar."""
        upper = f"{self._container(request).directory}/upper"
        output = request.take_fds()

        def done(error: str | None) -> None:
            protocol.close_fds(output)
            request.answer() if error is None else request.refuse("Kernel", f"archive {upper}: {error}")

        def archive() -> None:
            from wherry.launcher import layers

            layers.archive(upper, output[0])

        jobs.run(self._loop, archive, set(output), done)

    def _remove_tree(self, request: Request) -> None:
        """path."""
        path = request.text("path")

        def done(error: str | None) -> None:
            request.answer() if error is None else request.refuse("Kernel", f"remove {path}: {error}")

        jobs.run(self._loop, lambda: trees.remove(path), set(), done)

    def _stats(self, request: Request) -> None:
        """-> one entry per running container."""
        running = [c for c in self._containers.values() if c.state == RUNNING]
        items, without = [], []
        now = time.time()
        for container in running:
            used = cgroups.usage(self._context.cgroups, f"{container.sandbox_id}/{container.id}")
            if used is None:
                without.append(container)
            else:
                items.append(_usage(container, now, *used))
        if without:
            sampled = self._table.sample({container.namespace for container in without})
            for container in without:
                if container.namespace in sampled:
                    found = sampled[container.namespace]
                    # A child between its end and its parent's wait is counted nowhere: never go back.
                    cpu = self._cpu[container.id] = max(found.cpu_nanoseconds, self._cpu.get(container.id, 0))
                    items.append(_usage(container, now, cpu, found.memory_bytes))
        request.answer({"items": items})

    # the conversation with inits

    def _ask(
        self, sandbox: Sandbox, request: Request, answered: Callable[[Message, list[int]], None], op: str, **args: Any
    ) -> None:
        assert sandbox.init is not None
        number = next(self._numbers)
        self._calls[sandbox.init, number] = (request, answered)
        sandbox.init.send({"id": number, "op": op, "args": args})

    def _relay(self, sandbox: Sandbox, request: Request, op: str, **args: Any) -> None:
        """Ask and hand the answer on as it is."""

        def answered(message: Message, fds: list[int]) -> None:
            if "error" in message:
                request.refuse(message["error"]["reason"], message["error"]["message"])
            else:
                request.answer(message["ok"], fds)
            protocol.close_fds(fds)

        self._ask(sandbox, request, answered, op, **args)

    def _answered(self, sandbox: Sandbox, message: Message, fds: list[int]) -> None:
        assert sandbox.init is not None
        call = self._calls.pop((sandbox.init, message["id"]), None)
        if call is None:
            protocol.close_fds(fds)
        else:
            call[1](message, fds)

    def _container(self, request: Request) -> Container:
        container = self._containers.get(request.text("id"))
        if container is None:
            raise LauncherError("NotFound", f"there is no container {request.text('id')[:12]}")
        return container

    def _running(self, request: Request) -> Container:
        container = self._container(request)
        if container.state != RUNNING:
            raise LauncherError("NotRunning", f"container {container.id[:12]} is not running")
        return container

    def _of(self, sandbox: Sandbox) -> list[Container]:
        return [container for container in self._containers.values() if container.sandbox_id == sandbox.id]

    def _tell(self, sandbox_id: str, container_id: str, kind: str) -> None:
        self._publish({"sandbox_id": sandbox_id, "container_id": container_id, "type": kind})


def _usage(container: Container, now: float, cpu: int, memory: int) -> dict[str, Any]:
    return {
        "container_id": container.id,
        "sandbox_id": container.sandbox_id,
        "timestamp": now,
        "cpu_usage_nanoseconds": cpu,
        "memory_working_set_bytes": memory,
    }


def _kill_all(namespace: str) -> None:
    """In a shared pid namespace the end of a container's first process does not end the others."""
    for pid in stats.members(namespace):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError as error:
            print(f"launcher: kill {pid}: {error}", file=sys.stderr, flush=True)
