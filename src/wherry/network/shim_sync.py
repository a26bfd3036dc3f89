"""In tier `proc`: tells the launcher's shim what addresses of Services lead to, as `kernel_sync.py` tells the kernel.

Always true: `rebuild` replaces everything, `change` sends only what differs. Records are flattened here, so that the shim looks
up one table: {"shop/cart": [[ip, "tcp", port, sticky, [[ip, port], ...]], ...]}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wherry.launcher.client import LauncherClient
from wherry.network.nftables import NodeNetwork
from wherry.network.services import ServiceRecord


class ShimSync:
    """Methods raise LauncherError, ConnectionError."""

    sticky = True
    """sessionAffinity is honoured."""

    def __init__(self, launcher: LauncherClient, network: NodeNetwork) -> None:
        self._launcher = launcher
        self._network = network

    async def rebuild(self, records: Mapping[str, ServiceRecord]) -> None:
        """Afterwards these services are served and no others."""
        await self._send(records, replace=True)

    async def change(self, records: Mapping[str, ServiceRecord | None]) -> None:
        """Bring these services up to date; None: it is gone."""
        await self._send(records, replace=False)

    async def _send(self, records: Mapping[str, ServiceRecord | None], *, replace: bool) -> None:
        services = {key: None if record is None else entries(record, self._network) for key, record in records.items()}
        await self._launcher.call("node.services", services=services, range=self._network.services, replace=replace)


def entries(record: ServiceRecord, network: NodeNetwork) -> list[list[Any]]:
    """What the addresses of one Service lead to. Pure. Wherry's own servers are found by their sockets."""
    found: list[list[Any]] = []
    for port in record.ports:
        protocol = port.protocol.lower()
        backends = [list(each) for each in port.backends]
        addresses = [ip for ip in (record.cluster_ip, *record.addresses) if ip and ip not in network.local]
        found += [[ip, protocol, port.port, record.sticky, backends] for ip in addresses]
        if port.node_port:
            backends = [list(each) for each in port.through_node]
            found += [[ip, protocol, port.node_port, record.sticky, backends] for ip in network.node_addresses]
    return found
