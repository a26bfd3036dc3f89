"""Operations on containers, and on the files that they leave."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from wherry.launcher import jobs, protocol, trees
from wherry.launcher.inits import Inits
from wherry.launcher.loop import Loop
from wherry.launcher.protocol import LauncherError, Message
from wherry.launcher.records import CREATED, READY, Container, Records, wall_time
from wherry.launcher.requests import Operation, Request


class ContainerOperations:
    """A container is over when its pod's init says so, or with its sandbox (sandboxes.py)."""

    def __init__(self, loop: Loop, records: Records, inits: Inits) -> None:
        self._loop = loop
        self._records = records
        self._inits = inits

    def operations(self) -> Mapping[str, Operation]:
        return {
            "container.create": self._create,
            "container.start": self._start,
            "container.kill": self._kill,
            "container.wait": self._wait,
            "container.remove": self._remove,
            "container.list": self._list,
            "container.status": self._status,
            "container.exec": self._exec,
            "container.attach": self._attach,
            "container.reopen_log": self._reopen_log,
            "container.upper": self._upper,
            "container.archive": self._archive,
            "tree.remove": self._remove_tree,
        }

    def _list(self, request: Request) -> None:
        request.answer({"items": [container.describe() for container in self._records.containers.values()]})

    def _status(self, request: Request) -> None:
        request.answer({"item": self._records.container(request).describe()})

    def _upper(self, request: Request) -> None:
        """id -> where its writable layer lies."""
        request.answer({"path": f"{self._records.container(request).directory}/upper"})

    def _relay(self, container: Container, request: Request, op: str, **args: Any) -> None:
        sandbox = self._records.sandboxes[container.sandbox_id]
        self._inits.relay(sandbox, request, op, id=container.id, **args)

    def _create(self, request: Request) -> None:
        """id, sandbox, config: remembers it."""
        sandbox = self._records.sandboxes.get(request.text("sandbox"))
        if sandbox is None or sandbox.state != READY:
            raise LauncherError("CreateContainerError", f"sandbox {request.text('sandbox')[:12]} is not running")
        container_id = request.text("id")
        if container_id in self._records.containers:
            raise LauncherError("AlreadyExists", f"container {container_id[:12]} exists")
        directory = os.path.join(sandbox.spec["directory"], container_id[:16])
        self._records.containers[container_id] = Container(
            container_id, sandbox.id, request.args["config"], directory, wall_time()
        )
        self._records.tell(sandbox.id, container_id, "created")
        request.answer()

    def _start(self, request: Request) -> None:
        """id -> when the program runs; refused with why it does not, and the container has ended then."""
        container = self._records.container(request)
        sandbox = self._records.sandboxes[container.sandbox_id]
        if container.state != CREATED or container.starting:
            raise LauncherError("RunContainerError", f"container {container.id[:12]} was started before")
        if sandbox.state != READY:
            raise LauncherError("RunContainerError", f"sandbox {sandbox.id[:12]} is not running")
        container.starting = True

        def answered(message: Message, fds: list[int]) -> None:
            protocol.close_fds(fds)
            if "error" in message:
                if container.starting:
                    self._records.ended(container, 128, wall_time(), failure=message["error"])
                request.refuse(message["error"]["reason"], message["error"]["message"])
            else:
                request.answer()
                self._started(container)

        self._inits.ask(
            sandbox, request, answered, "start", id=container.id, spec=container.spec, writable=container.directory
        )

    def _kill(self, request: Request) -> None:
        """id, signal: one that is not running is no error."""
        container = self._records.containers.get(request.text("id"))
        if container is None or not container.alive:
            request.answer()
            return
        self._relay(container, request, "kill", signal=request.number("signal"))

    def _wait(self, request: Request) -> None:
        """id -> when it has ended; at once for one that was never started, or is unknown."""
        container = self._records.containers.get(request.text("id"))
        if container is not None and container.alive:
            container.waiting.append(request)
        else:
            request.answer()

    def _remove(self, request: Request) -> None:
        """id -> when its files are gone. It must not be running; an unknown one is no error."""
        container = self._records.containers.get(request.text("id"))
        if container is None:
            request.answer()
            return
        if container.alive:
            raise LauncherError("Running", f"container {container.id[:12]} must be stopped before it is removed")

        def done(error: str | None) -> None:
            if error is not None:
                request.refuse("Kernel", f"remove the files of container {container.id[:12]}: {error}")
                return
            self._records.drop(container)
            request.answer()

        if os.path.isdir(container.directory):
            jobs.run(self._loop, lambda: trees.remove(container.directory), set(), done)
        else:
            done(None)

    def _exec(self, request: Request) -> None:
        """id, argv, tty, stdin -> the leash, then its descriptors."""
        container = self._records.running(request)
        arguments = {"argv": request.args["argv"], "tty": request.args["tty"], "stdin": request.args["stdin"]}
        self._relay(container, request, "exec", **arguments)

    def _attach(self, request: Request) -> None:
        """id, stdin -> the leash, then copies of its streams."""
        container = self._records.running(request)
        self._relay(container, request, "attach", stdin=request.args["stdin"])

    def _reopen_log(self, request: Request) -> None:
        container = self._records.running(request)
        self._relay(container, request, "reopen")

    def _archive(self, request: Request) -> None:
        """id and a writable descriptor -> when the writable layer is in it as an OCI layer tar."""
        container = self._records.container(request)
        upper = f"{container.directory}/upper"
        output = request.take_fds()

        def done(error: str | None) -> None:
            protocol.close_fds(output)
            request.answer() if error is None else request.refuse("Kernel", f"archive {upper}: {error}")

        def archive() -> None:
            from wherry.launcher import layers

            self._settle(container)
            layers.archive(upper, output[0])

        jobs.run(self._loop, archive, set(output), done)

    def _started(self, container: Container) -> None:
        """Its program runs, and who asked for it knows."""

    def _settle(self, container: Container) -> None:
        """In the fork that archives: the directory becomes a layer, if it is not one."""

    def _remove_tree(self, request: Request) -> None:
        """path."""
        path = request.text("path")

        def done(error: str | None) -> None:
            request.answer() if error is None else request.refuse("Kernel", f"remove {path}: {error}")

        jobs.run(self._loop, lambda: trees.remove(path), set(), done)
