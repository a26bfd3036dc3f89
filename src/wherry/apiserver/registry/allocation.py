"""Cluster IPs and node ports: who holds which, rebuilt from the stored Services at start.

One process, one event loop and no await between choosing and holding: that is all the locking there is. A holder that
fails later releases. Kubernetes keeps the lower part of each range for values people choose themselves; so do we.
"""

from __future__ import annotations

import contextlib
import ipaddress
import random
from collections.abc import Callable, Iterable, Mapping

from wherry.api import service_ranges
from wherry.api.resources import IP_ADDRESSES, SERVICE_CIDRS
from wherry.api.types import Obj
from wherry.apiserver.registry.strategy import Reader

SERVICE_IPS = "service-ips"
NODE_PORTS = "node-ports"
_OUT_OF_RANGE = "the provided network does not match the current range"
_TAKEN_IP = "provided IP is already allocated"
_TAKEN_PORT = "provided port is already allocated"
_FULL = "range is full"


class Range:
    """Integers `first <= number < first + size`, the first `reserved` of them given out last. Ranges may overlap and share
    what is held."""

    def __init__(self, first: int, size: int, reserved: int) -> None:
        assert 0 <= reserved < size
        self.first = first
        self.size = size
        self._reserved = reserved

    def __contains__(self, number: int) -> bool:
        return self.first <= number < self.first + self.size

    def free(self, rng: random.Random, is_taken: Callable[[int], bool]) -> int | None:
        """The next number nobody has after a random start; None when there is none."""
        for low, high in ((self._reserved, self.size), (0, self._reserved)):
            width = high - low
            start = rng.randrange(width) if width else 0
            for step in range(width):
                number = self.first + low + (start + step) % width
                if not is_taken(number):
                    return number
        return None


class ServiceIPs:
    """The addresses of `--service-cidr` and, with a reader, of every ServiceCIDR that is ready; IPv4 only."""

    def __init__(self, cidr: str, rng: random.Random, reader: Reader | None = None) -> None:
        self._default = ipaddress.IPv4Network(cidr)
        self._rng = rng
        self._reader = reader
        self._held: set[int] = set()

    @property
    def held(self) -> int:
        """How many."""
        return len(self._held)

    def allocate(self, wanted: str = "") -> str:
        """Raises ValueError with Kubernetes' words."""
        if not wanted:
            for network in self._networks():
                addresses = _range(network)
                number = addresses.free(self._rng, self._is_taken) if addresses is not None else None
                if number is not None:
                    return self._hold(number)
            raise ValueError(_FULL)
        try:
            number = int(ipaddress.IPv4Address(wanted))
        except ValueError:
            raise ValueError(_OUT_OF_RANGE) from None
        around = [network for network in self._networks() if ipaddress.IPv4Address(number) in network]
        if not around:
            raise ValueError(_OUT_OF_RANGE)
        if not any(number in addresses for addresses in map(_range, around) if addresses is not None):
            text = f"the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {around[0]}"
            raise ValueError(text)
        if self._is_taken(number):
            raise ValueError(_TAKEN_IP)
        return self._hold(number)

    def keep(self, value: str) -> None:
        """Hold what a stored Service has, whichever range it came from."""
        with contextlib.suppress(ValueError):  # headless, or of the other family
            self._hold(int(ipaddress.IPv4Address(value)))

    def release(self, value: str) -> None:
        with contextlib.suppress(ValueError):
            self._held.discard(int(ipaddress.IPv4Address(value)))

    def _hold(self, number: int) -> str:
        self._held.add(number)
        return str(ipaddress.IPv4Address(number))

    def _is_taken(self, number: int) -> bool:
        """By a Service, or by an IPAddress that somebody else made."""
        if number in self._held or self._reader is None:
            return number in self._held
        found = self._reader.get(IP_ADDRESSES, str(ipaddress.IPv4Address(number)))
        return found is not None and not service_ranges.is_service_address(found)

    def _networks(self) -> list[ipaddress.IPv4Network]:
        """`--service-cidr` first; it is there before its ServiceCIDR is, and may only be left when that is about to go."""
        found = [self._default]
        for each in self._reader.list(SERVICE_CIDRS) if self._reader is not None else ():
            if service_ranges.is_ready(each):
                found += [one for one in service_ranges.networks(each) if isinstance(one, ipaddress.IPv4Network)]
            elif each["metadata"]["name"] == service_ranges.DEFAULT and "deletionTimestamp" in each["metadata"]:
                found.remove(self._default)
        return list(dict.fromkeys(found))


def _range(network: ipaddress.IPv4Network) -> Range | None:
    """All but the network's own address and broadcast; None where nothing is left."""
    size = network.num_addresses - 2
    if size <= 0:
        return None
    # Kubernetes: min(max(16, size / 16), 256) addresses stay for those who ask for one by name.
    return Range(int(network.network_address) + 1, size, min(max(16, size // 16), 256) if size >= 32 else 0)


class NodePorts:
    """The ports of `low..high`, both inclusive."""

    def __init__(self, low: int, high: int, rng: random.Random) -> None:
        size = high - low + 1
        # Kubernetes: min(max(16, size / 32), 128) ports stay for those who ask for one by number.
        self._range = Range(low, size, min(max(16, size // 32), 128) if size >= 32 else 0)
        self._valid = f"{low}-{high}"
        self._rng = rng
        self._held: set[int] = set()

    @property
    def held(self) -> int:
        """How many."""
        return len(self._held)

    def allocate(self, wanted: str = "") -> str:
        port = int(wanted) if wanted else self._range.free(self._rng, self._held.__contains__)
        if port is None:
            raise ValueError(_FULL)
        if port not in self._range:
            raise ValueError(f"provided port is not in the valid range. The range of valid ports is {self._valid}")
        if port in self._held:
            raise ValueError(_TAKEN_PORT)
        self._held.add(port)
        return str(port)

    def keep(self, value: str) -> None:
        """Hold what a stored Service has."""
        self._held.add(int(value))

    def release(self, value: str) -> None:
        self._held.discard(int(value))


def service_allocators(
    services: Iterable[Obj],
    rng: random.Random,
    cidr: str = "10.96.0.0/16",
    node_ports: tuple[int, int] = (30000, 32767),
    reader: Reader | None = None,
) -> Mapping[str, ServiceIPs | NodePorts]:
    """Both allocators, holding what the stored `services` hold: for `Context.allocators`. `reader`: of ServiceCIDRs and
    IPAddresses."""
    ips, ports = ServiceIPs(cidr, rng, reader), NodePorts(*node_ports, rng)
    for service in services:
        spec = service.get("spec") or {}
        for address in spec.get("clusterIPs") or []:
            ips.keep(address)
        numbers = {port["nodePort"] for port in spec.get("ports") or [] if port.get("nodePort")}
        if spec.get("healthCheckNodePort"):
            numbers.add(spec["healthCheckNodePort"])
        for number in numbers:
            ports.keep(str(number))
    return {SERVICE_IPS: ips, NODE_PORTS: ports}
