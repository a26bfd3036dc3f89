"""Sockets of containers where duplicates of descriptors may not be taken: they are made here, and a duplicate stays.

A duplicate keeps a connection open that its owner has closed. A stream is therefore let go of as soon as it is connected or
listens; what its ends are called is remembered. Sockets for datagrams stay until `HELD_MAX` others were used since.
What is not held, or no longer since a shim was killed, is answered by rewriting addresses (rewriting.py).
"""

from __future__ import annotations

import errno
import os
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from socket import SocketType

from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.threads import Threads

HELD_MAX = 512
"""Of all containers. Each is a descriptor, and may be the last of a socket that its owner has closed."""
NAMED_MAX = 4096

Handler = Callable[[Caller, Guest], None]


class NotHeldError(Exception):
    """The descriptor is none of a socket that is held."""


@dataclass(frozen=True, slots=True)
class Names:
    """Real addresses of a stream, as the socket module has them."""

    family: int
    local: tuple[str, int]
    peer: tuple[str, int] | None
    """None: it listens."""


class Held(Threads):
    """By inode, which no two sockets ever share; only the container that had a socket made is given it."""

    def __init__(self) -> None:
        super().__init__()
        self._sockets: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._names: OrderedDict[int, Names] = OrderedDict()
        self._listener = -1

    def first(self, exactly: Handler, otherwise: Handler | None) -> Handler:
        """On the socket itself if that is held; otherwise the kernel answers, or who is named."""

        def handle(caller: Caller, guest: Guest) -> None:
            self._listener = guest.listener
            try:
                exactly(caller, guest)
            except NotHeldError:
                if otherwise is None:
                    caller.proceed()
                else:
                    otherwise(caller, guest)

        return handle

    def duplicate(self, thread: int, fd: int) -> int:
        """Raises NotHeldError, OSError(EBADF)."""
        inode = inode_of(thread, fd)
        held = self._sockets.get(inode)
        if held is None or held[1] != self._listener:
            raise NotHeldError
        self._sockets.move_to_end(inode)
        return os.dup(held[0])

    def keep(self, guest: Guest, sock: socket.socket) -> None:
        """One that was just given to a container."""
        fd = os.dup(sock.fileno())
        self._sockets[os.fstat(fd).st_ino] = fd, guest.listener
        if len(self._sockets) > HELD_MAX:
            _, (oldest, _) = self._sockets.popitem(last=False)
            os.close(oldest)

    def settle(self, sock: SocketType, peer: tuple[str | int, ...] | None) -> None:
        """It is connected to `peer` (or will be), or listens: a stream is let go of."""
        if sock.type == socket.SOCK_DGRAM:
            return
        inode = os.fstat(sock.fileno()).st_ino
        held = self._sockets.pop(inode, None)
        if held is None:
            return
        os.close(held[0])
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            there = None if peer is None else (str(peer[0]), int(peer[1]))
            self._names[inode] = Names(sock.family, sock.getsockname()[:2], there)
            if len(self._names) > NAMED_MAX:
                self._names.popitem(last=False)

    def names(self, thread: int, fd: int) -> Names | None:
        """What was remembered. Raises OSError(EBADF)."""
        return self._names.get(inode_of(thread, fd))

    def leave(self, listener: int) -> None:
        """Let go of all that a container has; what it still uses is rewritten from now on."""
        for inode, (fd, owner) in list(self._sockets.items()):
            if owner == listener:
                os.close(fd)
                del self._sockets[inode]


def inode_of(thread: int, fd: int) -> int:
    """Of what a thread has open. Raises OSError(EBADF)."""
    try:
        return os.stat(f"/proc/{thread}/fd/{fd & 0xFFFFFFFF}").st_ino
    except FileNotFoundError:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
