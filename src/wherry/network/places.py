"""Where an endpoint is reached from the machine: as it is named, but in tier `proc` where the launcher's table says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wherry.launcher.proc.ports import TCP, Ports
from wherry.network.dial import Address
from wherry.network.nftables import NodeNetwork, within
from wherry.network.services import Backend

Where = Callable[[Backend], Address]

NOWHERE = ("127.0.0.1", 1)
"""tcpmux: nobody listens there, and a connection is refused."""


def as_named(backend: Backend) -> Address:
    return (backend.ip, backend.port)


class PlainPlaces:
    """Over the table of ports in `run`, which the launcher keeps."""

    def __init__(self, run: Path, network: NodeNetwork) -> None:
        self._ports = Ports(str(run / "ports"))
        self._network = network

    def real(self, backend: Backend) -> Address:
        """Where a TCP connection to `backend` has to go now."""
        if not within(backend.ip, self._network.pods):
            return as_named(backend)
        return self._ports.find(backend.ip, TCP, backend.port) or NOWHERE
