"""What the maps of the service rules hold: service records -> elements, and the messages from one state to the next.

Is: pure; remembers what the kernel was told, so that a change writes only what differs. Is not: the rules that look the
elements up (`nftables.py`).
Always true: one service's elements change in one transaction, so no connection sees half of a service; where they move
from one map to another the old ones go a transaction later, so that no connection falls between the two.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

from wherry.network import nfnetlink as nf
from wherry.network import slots
from wherry.network.nftables import (
    ADDRESSES,
    HAIRPIN,
    SERVICES,
    STICKY,
    TABLE,
    WIDE,
    WIDTHS,
    NodeNetwork,
    name_in,
    within,
)
from wherry.network.services import PROTOCOLS, Backend, ServicePort, ServiceRecord

PAYLOAD_BYTES_MAX = 64 * 1024
"""One transaction: small enough for the launcher's datagrams and for a socket buffer that nobody may enlarge."""
_ELEMENTS_MAX = 400
"""Elements of one message: the list's length is a 16-bit number."""

T = TypeVar("T")
Element: TypeAlias = tuple[str, bytes]
"""(map or set, key)."""


class Change(NamedTuple):
    """Messages of one transaction, and of one that must come after it."""

    now: list[nf.Message]
    after: list[nf.Message]


class Ruleset:
    """What the maps of one generation hold, by service. `change` moves it and says which messages make it so."""

    def __init__(self, generation: str, network: NodeNetwork, sticky: bool = True) -> None:
        self._generation = generation
        self._network = network
        self._sticky = sticky
        self._services: dict[str, dict[Element, bytes | None]] = {}
        self._slots: dict[str, dict[tuple[str, str, str, int], Sequence[Backend]]] = {}
        self._owners: dict[Element, dict[str, None]] = {}
        """Who asks for an element; the first one's data is what the kernel holds."""

    def change(self, key: str, record: ServiceRecord | None) -> Change:
        """The messages that replace service `key`'s elements; none when nothing changes."""
        assert record is None or record.key == key
        old = self._services.pop(key, {})
        new = self._elements(key, record) if record else {}
        if new:
            self._services[key] = new
        else:
            self._slots.pop(key, None)
        removed: list[Element] = []
        added: list[tuple[Element, bytes | None]] = []
        for element, data in old.items():
            if element not in new or new[element] != data:
                self._release(key, element, removed, added)
        for element, data in new.items():
            if element not in old or old[element] != data:
                owners = self._owners.setdefault(element, {})
                owners[key] = None
                if len(owners) == 1:
                    added.append((element, data))
        now_in = {name for (name, _), data in added if data is not None}
        moved = {name for name, _ in removed if name in WIDTHS} - now_in if now_in else set()
        after = [element for element in removed if element[0] in moved]
        return Change(
            [*self._delete(element for element in removed if element[0] not in moved), *self._add(added)],
            self._delete(after),
        )

    def _release(
        self, key: str, element: Element, removed: list[Element], added: list[tuple[Element, bytes | None]]
    ) -> None:
        owners = self._owners[element]
        first = next(iter(owners)) == key
        del owners[key]
        if not owners:
            del self._owners[element]
        heir = next(iter(owners), None)
        if first:
            data = self._services[heir][element] if heir else None
            if heir and data is None:
                return  # a plain set: the heir's element is the same
            removed.append(element)
            if heir:
                added.append((element, data))

    def _delete(self, elements: Iterable[Element]) -> list[nf.Message]:
        """These come before additions: an element is replaced by deleting and adding it in the same transaction."""
        keys: dict[str, list[bytes]] = {}
        for name, key in elements:
            keys.setdefault(name, []).append(key)
        return [
            nf.delete_elements(TABLE, name_in(self._generation, name), some)
            for name, all_ in keys.items()
            for some in _portions(all_)
        ]

    def _add(self, elements: Iterable[tuple[Element, bytes | None]]) -> list[nf.Message]:
        pairs: dict[str, list[tuple[bytes, bytes | None]]] = {}
        for (name, key), data in elements:
            pairs.setdefault(name, []).append((key, data))
        return [
            nf.add_elements(TABLE, name_in(self._generation, name), some)
            for name, all_ in pairs.items()
            for some in _portions(all_)
        ]

    def _elements(self, key: str, record: ServiceRecord) -> dict[Element, bytes | None]:
        elements: dict[Element, bytes | None] = {}
        before, self._slots[key] = self._slots.get(key, {}), {}
        addresses = [ip for ip in (record.cluster_ip, *record.addresses) if ip and ip not in self._network.local]
        for ip in addresses:
            elements[ADDRESSES, socket.inet_aton(ip)] = None
        for port in record.ports:
            for ip in addresses:
                self._route(elements, before, record, port, (ip, port.port), port.backends)
            if port.node_port:
                for ip in self._network.node_addresses:
                    self._route(elements, before, record, port, (ip, port.node_port), port.through_node)
        return elements

    def _route(
        self,
        elements: dict[Element, bytes | None],
        before: Mapping[tuple[str, str, str, int], Sequence[Backend]],
        record: ServiceRecord,
        port: ServicePort,
        at: tuple[str, int],
        backends: Sequence[Backend],
    ) -> None:
        """Add the elements that lead the address and port `at` to `backends`; `before` is where its slots led."""
        backends = reachable(port.protocol, backends, self._network)
        if not backends:
            return
        name = _map_of(record, backends, self._sticky)
        where = (name, at[0], port.protocol, at[1])
        if name == STICKY:
            chosen = slots.sticky(backends)
        else:
            chosen = self._slots[record.key][where] = slots.balanced(backends, WIDTHS[name], before.get(where))
        prefix = socket.inet_aton(at[0]) + struct.pack(">B3xH2x", PROTOCOLS[port.protocol], at[1])
        targets = {b: socket.inet_aton(b.ip) + struct.pack(">H2x", b.port) for b in backends}
        for slot, backend in enumerate(chosen):
            elements[name, prefix + struct.pack("=I", slot)] = targets[backend]
        for backend in backends:
            elements[HAIRPIN, socket.inet_aton(backend.ip) * 2] = None


def _portions(items: list[T]) -> Iterable[list[T]]:
    return (items[at : at + _ELEMENTS_MAX] for at in range(0, len(items), _ELEMENTS_MAX))


def _map_of(record: ServiceRecord, backends: Sequence[Backend], sticky: bool) -> str:
    if record.sticky and sticky:
        return STICKY
    return WIDE if len(backends) > slots.NARROW_BACKENDS_MAX else SERVICES


def reachable(protocol: str, backends: Sequence[Backend], network: NodeNetwork) -> tuple[Backend, ...]:
    """Pods as they are; all others, for TCP, as one backend: netd's egress listener, which dials them from the host.

    netd sees the service's address as the original destination and chooses among the outside backends itself.
    """
    inside = tuple(b for b in backends if within(b.ip, network.pods) and b.ip != network.gateway)
    outside = len(inside) < len(backends) and protocol == "TCP"
    return (*inside, Backend(network.gateway, network.egress_port)) if outside else inside


def payloads(groups: Iterable[Sequence[nf.Message]]) -> list[list[nf.Message]]:
    """Join transactions into fewer, none longer than PAYLOAD_BYTES_MAX unless one group alone is; groups stay whole."""
    out: list[list[nf.Message]] = []
    size = PAYLOAD_BYTES_MAX + 1
    for group in groups:
        length = sum(map(len, group))
        if size + length > PAYLOAD_BYTES_MAX:
            out.append([])
            size = 0
        out[-1].extend(group)
        size += length
    return [group for group in out if group]


def plan(ruleset: Ruleset, records: Mapping[str, ServiceRecord | None]) -> list[list[nf.Message]]:
    """The transactions, in order, that bring these services up to date, others untouched."""
    changes = [ruleset.change(key, record) for key, record in records.items()]
    return [*payloads(change.now for change in changes), *payloads(change.after for change in changes)]
