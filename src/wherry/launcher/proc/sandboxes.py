"""Operations on pod sandboxes in tier `proc`: a pod is an init and an address, and its ports are in a table."""

from __future__ import annotations

import errno
import os
import random
import socket
from collections.abc import Mapping

from wherry.launcher import protocol
from wherry.launcher.connection import Connection
from wherry.launcher.context import Context
from wherry.launcher.inits import Inits
from wherry.launcher.loop import Loop
from wherry.launcher.proc import remains, shared_memory
from wherry.launcher.proc.addresses import Address, Block
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.nursery import Nursery, Spare
from wherry.launcher.proc.outcomes import Refusal
from wherry.launcher.proc.paths import Paths
from wherry.launcher.proc.ports import OWN, TCP, Ports
from wherry.launcher.proc.routing import Routing
from wherry.launcher.proc.shims import Shims
from wherry.launcher.protocol import LauncherError, Message
from wherry.launcher.records import Records, Sandbox
from wherry.launcher.requests import Operation, Request
from wherry.launcher.sandboxes import SandboxOperations

_NEVER = 1  # tcpmux: nobody may bind it on a pod's real address, since what is privileged goes elsewhere


class ProcSandboxes(SandboxOperations):
    """`ports` and `shims` are the node's network."""

    def __init__(
        self,
        context: Context,
        loop: Loop,
        control: socket.socket,
        records: Records,
        inits: Inits,
        ports: Ports,
        block: Block,
    ) -> None:
        super().__init__(context, loop, control, records, inits)
        self._ports = ports
        self._block = block
        self._session = os.getsid(0)
        self._nursery = Nursery(loop, context)
        self._shims = Shims(loop, context.controls, self._noticed)
        self._routing = Routing(block, ports, random.Random())
        self._machine = Guest.of_files(Paths(()))

    def operations(self) -> Mapping[str, Operation]:
        return {
            **super().operations(),
            "node.services": self._change_services,
            "node.detours": self._change_detours,
            "node.resolve": self._resolve,
        }

    def begin(self) -> None:
        self._nursery.begin()

    def _bring_up(self, sandbox: Sandbox, request: Request) -> None:
        if sandbox.spec["sysctls"]:
            names = ", ".join(sandbox.spec["sysctls"])
            raise LauncherError("CreatePodSandboxError", f"sysctls {names}: tier proc has no namespaces to set them in")
        for path in sandbox.spec["memory_volumes"]:
            os.makedirs(path, exist_ok=True)
            os.chmod(path, 0o1777)  # noqa: S103 -- as a tmpfs of a pod is
        self._nursery.take(
            {"id": sandbox.id, "spec": sandbox.spec},
            lambda spare: self._adopt(sandbox, request, spare),
            lambda text: self._born(sandbox, request, {"event": "failed", "message": text}, []),
        )

    def _adopt(self, sandbox: Sandbox, request: Request, spare: Spare) -> None:
        """It is this pod's init from now on."""

        def hear(_: Connection, message: Message, fds: list[int]) -> None:
            if "id" in message:
                self._inits.answered(sandbox, message, fds)
            else:
                self._heard(sandbox, message, fds)

        sandbox.init = spare.connection
        spare.connection.hand_over(hear, lambda _: None)  # its end is seen by its pidfd
        try:
            if not sandbox.spec["host_network"]:
                self._ports.add(sandbox.spec["ip"], spare.kit)
        except OSError as error:
            self._born(sandbox, request, {"event": "failed", "message": str(error)}, spare.fds)
        else:
            self._born(sandbox, request, {"event": "ready"}, spare.fds)

    def _heard(self, sandbox: Sandbox, message: Message, fds: list[int]) -> None:
        if message["event"] == "guest":
            self._shims.enter(message["guest"], fds.pop())
            protocol.close_fds(fds)
        else:
            super()._heard(sandbox, message, fds)

    def _over(self, sandbox: Sandbox) -> None:
        """What its init left behind has become ours: containers lead sessions of their own, our other children are in ours."""
        remains.end_children(lambda each: each[2] != self._session)
        if not sandbox.spec["host_network"]:
            self._ports.drop(sandbox.spec["ip"])
        shared_memory.remove(self._loop, self._context.shared_memory, sandbox.id)
        super()._over(sandbox)

    def _socket(self, request: Request) -> None:
        """id, host, port -> where to connect to instead, in the machine's network."""
        sandbox = self._records.sandboxes.get(request.text("id"))
        if sandbox is None or sandbox.pidfd < 0:
            raise LauncherError("NotRunning", f"sandbox {request.text('id')[:12]} is not running")
        if sandbox.spec["host_network"]:
            request.answer({"host_network": True})
            return
        ip, host, port = sandbox.spec["ip"], request.text("host"), request.number("port")
        found = self._ports.find(ip, TCP, port)
        if host != ip:
            found = self._ports.find(ip, TCP, port, OWN) or found
        # Nobody listens: a connection there is refused, as it must be.
        refused = (socket.inet_ntoa(self._block.shared(socket.inet_aton(ip))), _NEVER)
        request.answer({"host_network": True, "address": list(found or refused)})

    def _change_services(self, request: Request) -> None:
        """services, range, replace -> once the shim has been told."""
        self._routing.set_services(request.args)
        self._shims.change(request.args["services"], request.text("range"), replace=bool(request.args["replace"]))
        request.answer()

    def _change_detours(self, request: Request) -> None:
        """detours, as `Detours.set` says -> once the shim has been told."""
        self._shims.lead(request.args["detours"])
        request.answer()

    def _resolve(self, request: Request) -> None:
        """host (of IPv4), port -> where a connection from the machine really has to go; refused with errno's name."""
        host, port = request.text("host"), request.number("port")
        to = Address(socket.AF_INET, socket.inet_aton(host), port)
        try:
            real = self._routing.route(self._machine, to, TCP) or to
        except Refusal as refusal:
            name = errno.errorcode[refusal.number]
            raise LauncherError(name, f"connect {host}:{port}: {os.strerror(refusal.number)}") from None
        request.answer({"address": list(real.python())})

    def _noticed(self, message: Message) -> None:
        """A container asked for what this tier cannot give."""
        self._records.notice(message["sandbox"], message["container"], message["text"])
