"""Cluster IPs and node ports: who holds which, rebuilt from the stored Services at start.

One process, one event loop and no await between choosing and holding: that is all the locking there is. A holder that
fails later releases. Kubernetes keeps the lower part of each range for values people choose themselves; so do we.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterable, Mapping

from wherry.api.types import Obj

SERVICE_IPS = "service-ips"
NODE_PORTS = "node-ports"
_OUT_OF_RANGE = "the provided network does not match the current range"
_TAKEN_IP = "provided IP is already allocated"
_TAKEN_PORT = "provided port is already allocated"
_FULL = "range is full"


class Range:
    """Integers `0 <= offset < size`, the first `reserved` of them given out last."""

    def __init__(self, size: int, reserved: int, rng: random.Random) -> None:
        assert 0 <= reserved < size
        self.size = size
        self._reserved = reserved
        self._rng = rng
        self._held: set[int] = set()

    @property
    def free(self) -> int:
        return self.size - len(self._held)

    def hold(self, offset: int) -> bool:
        """False when somebody holds it already."""
        if offset in self._held:
            return False
        self._held.add(offset)
        return True

    def any(self) -> int | None:
        """Some free offset, held from now on; None when all are taken. The next free one after a random start."""
        for low, high in ((self._reserved, self.size), (0, self._reserved)):
            width = high - low
            start = self._rng.randrange(width) if width else 0
            for step in range(width):
                offset = low + (start + step) % width
                if self.hold(offset):
                    return offset
        return None

    def release(self, offset: int) -> None:
        self._held.discard(offset)


class ServiceIPs:
    """The addresses of one IPv4 range, network and broadcast address excepted."""

    def __init__(self, cidr: str, rng: random.Random) -> None:
        self.network = ipaddress.IPv4Network(cidr)
        self._first = int(self.network.network_address) + 1
        size = self.network.num_addresses - 2
        # Kubernetes: min(max(16, size / 16), 256) addresses stay for those who ask for one by name.
        self._range = Range(size, min(max(16, size // 16), 256) if size >= 32 else 0, rng)

    def allocate(self, wanted: str = "") -> str:
        if not wanted:
            offset = self._range.any()
            if offset is None:
                raise ValueError(_FULL)
            return str(ipaddress.IPv4Address(self._first + offset))
        offset = self._offset(wanted)
        if offset is None:
            raise ValueError(_OUT_OF_RANGE)
        if not self._range.hold(offset):
            raise ValueError(_TAKEN_IP)
        return wanted

    def release(self, value: str) -> None:
        offset = self._offset(value)
        if offset is not None:
            self._range.release(offset)

    def _offset(self, value: str) -> int | None:
        try:
            offset = int(ipaddress.IPv4Address(value)) - self._first
        except ValueError:
            return None
        return offset if 0 <= offset < self._range.size else None


class NodePorts:
    """The ports of `low..high`, both inclusive."""

    def __init__(self, low: int, high: int, rng: random.Random) -> None:
        self._low, self._high = low, high
        size = high - low + 1
        # Kubernetes: min(max(16, size / 32), 128) ports stay for those who ask for one by number.
        self._range = Range(size, min(max(16, size // 32), 128) if size >= 32 else 0, rng)

    def allocate(self, wanted: str = "") -> str:
        if not wanted:
            offset = self._range.any()
            if offset is None:
                raise ValueError(_FULL)
            return str(self._low + offset)
        port = int(wanted)
        if not self._low <= port <= self._high:
            raise ValueError(
                f"provided port is not in the valid range. The range of valid ports is {self._low}-{self._high}"
            )
        if not self._range.hold(port - self._low):
            raise ValueError(_TAKEN_PORT)
        return wanted

    def release(self, value: str) -> None:
        port = int(value)
        if self._low <= port <= self._high:
            self._range.release(port - self._low)


def service_allocators(
    services: Iterable[Obj],
    rng: random.Random,
    cidr: str = "10.96.0.0/16",
    node_ports: tuple[int, int] = (30000, 32767),
) -> Mapping[str, ServiceIPs | NodePorts]:
    """Both allocators, holding what the stored `services` hold: for `Context.allocators`."""
    ips, ports = ServiceIPs(cidr, rng), NodePorts(*node_ports, rng)
    for service in services:
        spec = service.get("spec") or {}
        for address in spec.get("clusterIPs") or []:
            _hold(ips, address)
        numbers = {port["nodePort"] for port in spec.get("ports") or [] if port.get("nodePort")}
        if spec.get("healthCheckNodePort"):
            numbers.add(spec["healthCheckNodePort"])
        for number in numbers:
            _hold(ports, str(number))
    return {SERVICE_IPS: ips, NODE_PORTS: ports}


def _hold(allocator: ServiceIPs | NodePorts, value: str) -> None:
    """A stored value outside the range (the range changed) or held twice is nobody's to fix here."""
    try:
        allocator.allocate(value)
    except ValueError:
        return
