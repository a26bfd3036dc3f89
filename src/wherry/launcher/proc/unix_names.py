"""What Unix sockets were bound to, as their programs said it: getsockname(2) is asked for it, and other processes connect there.

The kernel knows them by a descriptor's number (unix_calls.py), which means nothing to anybody else. A shim that takes over from
another does not know the names that were bound before.
"""

from __future__ import annotations

from collections import OrderedDict

ADDRESS_BYTES_MAX = 110  # struct sockaddr_un
_FAMILY_BYTES = 2
NAMES_MAX = 4096
"""Remembered; the oldest go first."""
_SLASHES = 24
"""Ways to write one address: the next socket of the same name in another directory has another one."""


class UnixNames:
    """Keys are pods, since their containers share volumes."""

    def __init__(self) -> None:
        self._names: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._pods: dict[str, int] = {}
        self._made = 0

    def path(self, folder: bytes, name: bytes) -> bytes:
        """Of a socket to be bound; what it may be longer than an address is refused where it is used."""
        self._made += 1
        room = ADDRESS_BYTES_MAX - _FAMILY_BYTES - len(folder) - len(name) - 1
        return folder + b"/" * min(1 + self._made % _SLASHES, max(1, room)) + name

    def remember(self, pod: str, path: bytes, said: bytes) -> None:
        if self._names.pop((pod, path), None) is None:
            self._pods[pod] = self._pods.get(pod, 0) + 1
        self._names[pod, path] = said
        while len(self._names) > NAMES_MAX:
            (oldest, _), _ = self._names.popitem(last=False)
            self._pods[oldest] -= 1
            if not self._pods[oldest]:
                del self._pods[oldest]

    def of(self, pod: str) -> bool:
        """Whether there are any."""
        return pod in self._pods

    def said(self, pod: str, path: bytes) -> bytes | None:
        return self._names.get((pod, path))
