"""Leads packets between the pods that faults are about past netd, while any of them holds.

Is: follows the faults, and keeps the kernel's half (`detour_rules.py`) and the socket (`packets.py`) as they say.
Always true: a fault whose lease has run out is undone within LOOK_SECONDS, whoever else lives; what an earlier netd that was
killed left behind is removed first. Costs nothing, not even a look, until somebody says that there is a fault.
"""

from __future__ import annotations

import base64
import logging
import socket
from collections.abc import Sequence

from wherry.aio.clock import Clock
from wherry.chaos.between import Between
from wherry.chaos.faults import NETWORK, Fault, Faults
from wherry.chaos.kept import LOOK_SECONDS
from wherry.launcher.client import LauncherClient, LauncherError
from wherry.network import detour_rules as rules
from wherry.network import nfnetlink
from wherry.network.nfnetlink import NETLINK_NETFILTER, NetlinkError
from wherry.network.packets import FAMILY, TYPE, Packets
from wherry.network.told import Told

log = logging.getLogger(__name__)

ROUTES_SECONDS = 1.0
"""How often routes are read again while a pod has none."""


class Detour:
    """Of one launcher. `told` says what is there to be followed, and hears what became of it."""

    def __init__(self, launcher: LauncherClient, faults: Faults, told: Told, clock: Clock, refusal: str = "") -> None:
        """`refusal`: why nothing can be done here at all."""
        self._launcher = launcher
        self._faults = faults
        self._told = told
        self._clock = clock
        self._refusal = refusal
        self._between = Between()
        self._packets: Packets | None = None
        self._routes_at = 0.0
        self._targets: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Until cancelled, or the launcher is gone (ConnectionError)."""
        try:
            if not self._refusal:
                await self._undo()
            while True:
                await self._told.wait()
                if self._refusal:
                    self._told.refuse(self._refusal)
                else:
                    await self._follow()
        finally:
            if self._packets is not None:
                self._packets.close()

    async def _follow(self) -> None:
        """Until no fault holds any more, and none has just been told of."""
        while (faults := self._faults.active(NETWORK)) or self._told.lately():
            if not faults:
                await self._end()
            elif not self._told.refused:
                await self._lead(faults)
            await self._clock.sleep(LOOK_SECONDS)
        await self._end()

    async def _end(self) -> None:
        if self._packets is not None:
            await self._undo()
        self._told.over()

    async def _lead(self, faults: Sequence[Fault]) -> None:
        try:
            if self._between.set(faults) or self._packets is None:
                await self._set_up()
            await self._find_pods()
            assert self._packets is not None
            self._packets.forget()
        except (LauncherError, NetlinkError, PermissionError) as error:
            log.warning("faults of the network are not made: %s", error)
            self._told.refuse(f"this kernel does not lead packets past netd: {error}")
            await self._undo()
        else:
            self._told.made(fault.name for fault in faults)

    async def _set_up(self) -> None:
        if self._packets is None:
            nfnetlink.check(await self._send(rules.NETLINK_ROUTE, rules.way()))
            reply = await self._launcher.call("node.socket", family=int(FAMILY), type=int(TYPE))
            self._packets = Packets(socket.socket(fileno=reply.fds[0]), rules.EXIT, self._between, self._clock)
            self._packets.start()
        await self._find_pods()  # before the first packet comes
        for messages in rules.marks(self._between.lines()):
            nfnetlink.check(await self._send(NETLINK_NETFILTER, nfnetlink.batch(messages)))

    async def _find_pods(self) -> None:
        """Read the routes when there are other targets, and now and then while one of them has none."""
        assert self._packets is not None
        targets, now = self._between.targets(), self._clock.monotonic()
        if targets == self._targets and not (self._packets.lost and now >= self._routes_at):
            return
        devices = rules.devices(await self._send(rules.NETLINK_ROUTE, rules.all_routes()))
        self._packets.lead({ip: index for ip, index in devices.items() if ip in targets})
        self._targets, self._routes_at = targets, now + ROUTES_SECONDS

    async def _undo(self) -> None:
        """Packets go straight; nothing of ours is left."""
        try:
            await self._send(rules.NETLINK_ROUTE, rules.no_way())
            await self._send(NETLINK_NETFILTER, nfnetlink.batch(rules.no_marks()))
        except LauncherError as error:
            log.info("nothing to undo: %s", error)  # a kernel without one of the two
        if self._packets is not None:
            self._packets.close()
            self._packets = None
        self._between.set(())
        self._targets = frozenset()

    async def _send(self, protocol: int, payload: bytes) -> bytes:
        reply = await self._launcher.call("node.netlink", protocol=protocol, payload=base64.b64encode(payload).decode())
        return base64.b64decode(reply.args["replies"])
