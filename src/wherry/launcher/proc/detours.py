"""Places that some pods reach by way of another one, where netd holds what they send: `wherry chaos network`.

Empty unless a fault of the network holds. What is on a detour already stays there.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from wherry.launcher.proc.ports import Place

Real = tuple[bytes, int]
"""A `Place` with its address packed."""


class Detours:
    """By real place; of TCP and UDP apart."""

    def __init__(self) -> None:
        self._via: dict[tuple[str, Real], tuple[frozenset[str], Real]] = {}
        self._behind: dict[tuple[str, Real], int] = {}

    def __bool__(self) -> bool:
        return bool(self._via)

    def set(self, entries: Sequence[Sequence[Any]]) -> None:
        """`[[protocol, [ip, port], [ip, port] of the way there, port as pods know it, [addresses of pods]], ...]`, and no
        others."""
        self._via, self._behind = {}, {}
        for protocol, place, way, port, sources in entries:
            self._via[protocol, _real(place)] = (frozenset(sources), _real(way))
            self._behind[protocol, _real(way)] = port

    def via(self, source: str, protocol: str, to: Real) -> Real:
        """Where the pod `source` has to go to get there."""
        sources, way = self._via.get((protocol, to), (frozenset[str](), to))
        return way if source in sources else to

    def port(self, protocol: str, ip: bytes, port: int) -> int | None:
        """The port that a way leads to; None: it is none."""
        return self._behind.get((protocol, (ip, port)))


def _real(place: Place) -> Real:
    return socket.inet_aton(place[0]), int(place[1])
