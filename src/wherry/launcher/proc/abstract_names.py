"""Abstract names of Unix sockets, which a network of its own would keep apart: a pod connects to those that it bound itself.

The kernel would ask Landlock, since Linux 6.12, but only for who makes the call; and what that one calls with may change until
the kernel looks. So the shim binds and connects duplicates, and knows whose a name is. One that takes over from another does not
know the names that were bound before: nobody connects to them any more.
"""

from __future__ import annotations

import socket
from collections import OrderedDict

from wherry.launcher.proc.guest import Guest

NAMES_MAX = 4096
"""Remembered; the oldest go first."""


class AbstractNames:
    """By pods, since their containers share a network."""

    def __init__(self) -> None:
        self._names: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def bound(self, guest: Guest, sock: socket.socket) -> None:
        """A socket of the pod has a name from now on, of its own choice or the kernel's."""
        name = sock.getsockname()
        if isinstance(name, bytes):
            self._names[guest.sandbox, name] = None
            self._names.move_to_end((guest.sandbox, name))
            while len(self._names) > NAMES_MAX:
                self._names.popitem(last=False)

    def is_own(self, guest: Guest, name: bytes) -> bool:
        return (guest.sandbox, name) in self._names
