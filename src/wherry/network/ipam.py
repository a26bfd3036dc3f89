"""Addresses for pods out of the node's pod range (what the `host-local` CNI plugin does).

Is: memory only; after a restart `claim` repeats what the runtime's sandboxes hold. Is not: persistent.
Always true: an address has one owner; a freed address is given out again only after the whole range has been walked, so
that a client's cached address does not reach a stranger; the same calls give the same addresses.
"""

from __future__ import annotations

import ipaddress


class NoAddressError(Exception):
    """Every address of the range is in use."""


class PodAddresses:
    """The allocator of one node. An owner is a pod sandbox's id or a pod's uid, whatever the caller holds on to."""

    def __init__(self, cidr: str, reserved: frozenset[str] = frozenset()) -> None:
        """`reserved` are addresses no pod may have; the range's first one, the gateway's, never is given out."""
        network = ipaddress.IPv4Network(cidr)
        if network.num_addresses < 8:
            raise ValueError(f"{cidr} is too small a pod range: it needs at least 8 addresses")
        self._base = int(network.network_address)
        self._size = network.num_addresses
        self._reserved = {0, 1, self._size - 1} | {int(ipaddress.IPv4Address(ip)) - self._base for ip in reserved}
        self._owner_of: dict[int, str] = {}
        self._offset_of: dict[str, int] = {}
        self._next = 2

    def allocate(self, owner: str) -> str:
        """The owner's address: the one it has, else the next free one. Raises NoAddressError."""
        held = self._offset_of.get(owner)
        if held is not None:
            return self._text(held)
        for step in range(self._size):
            offset = (self._next + step) % self._size
            if offset not in self._reserved and offset not in self._owner_of:
                self._hold(owner, offset)
                self._next = offset + 1
                return self._text(offset)
        raise NoAddressError(f"no pod addresses left: {len(self._owner_of)} are in use")

    def claim(self, owner: str, ip: str) -> bool:
        """Record that `owner` has `ip` already; False when another one has it or it is not an address of the range."""
        offset = int(ipaddress.IPv4Address(ip)) - self._base
        if not 0 <= offset < self._size or offset in self._reserved:
            return False
        if self._owner_of.get(offset, owner) != owner or self._offset_of.get(owner, offset) != offset:
            return False
        self._hold(owner, offset)
        # Go on behind the newest address we know of: those before it may have been freed just now.
        self._next = max(self._next, offset + 1)
        return True

    def release(self, owner: str) -> None:
        """Give the owner's address back; nothing happens when it has none."""
        offset = self._offset_of.pop(owner, None)
        if offset is not None:
            del self._owner_of[offset]

    def address_of(self, owner: str) -> str | None:
        offset = self._offset_of.get(owner)
        return None if offset is None else self._text(offset)

    def __len__(self) -> int:
        """How many are in use."""
        return len(self._owner_of)

    def _hold(self, owner: str, offset: int) -> None:
        self._owner_of[offset] = owner
        self._offset_of[owner] = offset

    def _text(self, offset: int) -> str:
        return str(ipaddress.IPv4Address(self._base + offset))
