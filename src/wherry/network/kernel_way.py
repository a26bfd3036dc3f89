"""The way past netd where pods have a network: `detour_rules.py` in the kernel, `packets.py` at its end."""

from __future__ import annotations

import base64
import socket

from wherry.aio.clock import Clock
from wherry.chaos.between import Between
from wherry.chaos.faults import Fault
from wherry.launcher.client import LauncherClient
from wherry.network import detour_rules as rules
from wherry.network import nfnetlink
from wherry.network.nfnetlink import NETLINK_NETFILTER
from wherry.network.packets import FAMILY, TYPE, Packets

ROUTES_SECONDS = 1.0
"""How often routes are read again while a pod has none."""


class KernelWay:
    """As `detour.Way`."""

    def __init__(self, launcher: LauncherClient, clock: Clock) -> None:
        self._launcher = launcher
        self._clock = clock
        self._packets: Packets | None = None
        self._routes_at = 0.0
        self._targets: frozenset[str] = frozenset()

    @property
    def made(self) -> bool:
        return self._packets is not None

    def refuses(self, fault: Fault) -> str:
        return ""

    async def lead(self, between: Between, joined: bool) -> None:
        packets = self._packets or await self._build(between)
        await self._find_pods(packets, between)  # before the first packet comes
        if joined:
            for messages in rules.marks(between.lines()):
                nfnetlink.check(await self._send(NETLINK_NETFILTER, nfnetlink.batch(messages)))
        packets.forget()

    async def _build(self, between: Between) -> Packets:
        nfnetlink.check(await self._send(rules.NETLINK_ROUTE, rules.way()))
        reply = await self._launcher.call("node.socket", family=int(FAMILY), type=int(TYPE))
        sock = socket.socket(fileno=reply.fds[0])
        try:
            self._packets = Packets(sock, rules.EXIT, between, self._clock)
        except OSError:
            sock.close()
            raise
        self._packets.start()
        return self._packets

    async def _find_pods(self, packets: Packets, between: Between) -> None:
        """Read the routes when there are other targets, and now and then while one of them has none."""
        targets, now = between.targets(), self._clock.monotonic()
        if targets == self._targets and not (packets.lost and now >= self._routes_at):
            return
        devices = rules.devices(await self._send(rules.NETLINK_ROUTE, rules.all_routes()))
        packets.lead({ip: index for ip, index in devices.items() if ip in targets})
        self._targets, self._routes_at = targets, now + ROUTES_SECONDS

    async def undo(self) -> None:
        await self._send(rules.NETLINK_ROUTE, rules.straight())
        if self._packets is not None:
            self._packets.empty()
        self.close()
        await self._send(rules.NETLINK_ROUTE, rules.no_device())
        await self._send(NETLINK_NETFILTER, nfnetlink.batch(rules.no_marks()))

    def close(self) -> None:
        if self._packets is not None:
            self._packets.close()
        self._packets = None
        self._targets = frozenset()

    async def _send(self, protocol: int, payload: bytes) -> bytes:
        reply = await self._launcher.call("node.netlink", protocol=protocol, payload=base64.b64encode(payload).decode())
        return base64.b64decode(reply.args["replies"])
