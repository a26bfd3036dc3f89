"""Keeps the kernel's rules as the services want them, through one launcher.

Is: thin I/O around `nftables.py`, `ruleset.py` and `conntrack.py`. Is not: the decision what the rules are.
Always true: `rebuild` makes a whole new generation and switches in one transaction, so it heals whatever was there and
leaves no gap; `change` writes only what differs, one service per transaction or several whole ones.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence

from wherry.launcher.client import LauncherClient
from wherry.network import conntrack, nfnetlink, nftables, routes, ruleset
from wherry.network.nfnetlink import NETLINK_NETFILTER, Message, NetlinkError
from wherry.network.nftables import NodeNetwork
from wherry.network.ruleset import Ruleset
from wherry.network.services import ServiceRecord

log = logging.getLogger(__name__)

_ENOENT = 2
_NEEDS = "services need a kernel with nf_tables and its nat, numgen and reject expressions (modules nft_*)"


class KernelSync:
    """The rules in the node's network of `launcher`. Methods raise NetlinkError, LauncherError, ConnectionError."""

    def __init__(self, launcher: LauncherClient, network: NodeNetwork) -> None:
        self._launcher = launcher
        self._network = network
        self._ruleset = Ruleset(nftables.GENERATIONS[0], network)
        self._records: dict[str, ServiceRecord] = {}
        self.sticky = True
        """False: this kernel has no `hash` expression, so sessionAffinity is not honoured."""

    async def rebuild(self, records: Mapping[str, ServiceRecord]) -> None:
        """Whatever was there before, afterwards these services are served and no others."""
        nfnetlink.check(await self._send(routes.NETLINK_ROUTE, routes.default_route(self._network.gateway)))
        live = await self._live()
        generation = next(g for g in nftables.GENERATIONS if g != live)
        await self._build(generation)
        self._ruleset = Ruleset(generation, self._network, self.sticky)
        for messages in ruleset.plan(self._ruleset, records):
            await self._transact(messages)
        await self._transact(nftables.switch(live, generation))
        if live is not None:
            await self._transact(nftables.wipe(live))
        before, self._records = self._records, dict(records)
        for key in before:
            await self._forget(before[key], self._records.get(key))

    async def change(self, records: Mapping[str, ServiceRecord | None]) -> None:
        """Bring these services up to date; None: it is gone. After an error only `rebuild` is right."""
        for messages in ruleset.plan(self._ruleset, records):
            await self._transact(messages)
        for key, record in records.items():
            old = self._records.pop(key, None)
            if record is not None:
                self._records[key] = record
            await self._forget(old, record)

    async def _build(self, generation: str) -> None:
        """`sticky` is tried at first, and given up for good where the kernel refuses its expression."""
        wipe = nftables.wipe(generation)
        try:
            await self._transact([*wipe, *nftables.build(generation, self._network, self.sticky)])
        except NetlinkError as error:
            log.warning("trying without sessionAffinity: %s", error)
            try:
                await self._transact([*wipe, *nftables.build(generation, self._network, sticky=False)])
            except NetlinkError as again:
                raise NetlinkError(again.errno, again.index, _NEEDS) from again
            self.sticky = False

    async def _live(self) -> str | None:
        """The generation that the base chains lead to; None in a new network."""
        for generation in nftables.GENERATIONS:
            question = nfnetlink.get_chain(nftables.TABLE, nftables.mark(generation)).encode(1, nfnetlink.NLM_F_ACK)
            try:
                nfnetlink.check(await self._send(NETLINK_NETFILTER, question))
            except NetlinkError as error:
                if error.errno != _ENOENT:
                    raise
            else:
                return generation
        return None

    async def _forget(self, old: ServiceRecord | None, new: ServiceRecord | None) -> None:
        """End what UDP clients still send to endpoints that are gone. What the kernel refuses ends by its own timeout."""
        for ip, port, keep in conntrack.stale(old, new):
            answer = await self._send(NETLINK_NETFILTER, conntrack.dump(ip, port))
            deletions = conntrack.deletions(answer, ip, port, keep)
            if deletions:
                await self._send(NETLINK_NETFILTER, deletions)

    async def _transact(self, messages: Sequence[Message]) -> None:
        nfnetlink.check(await self._send(NETLINK_NETFILTER, nfnetlink.batch(messages)))

    async def _send(self, protocol: int, payload: bytes) -> bytes:
        reply = await self._launcher.call("node.netlink", protocol=protocol, payload=base64.b64encode(payload).decode())
        return base64.b64decode(reply.args["replies"])
