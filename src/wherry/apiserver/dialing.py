"""Connections from the API server to elsewhere: the machine's network, and the node's, where pods and Services are.

Is: (host, port) to a connected socket, errors in Go's words. Is not: which pod is meant (`backends.py`), TLS, HTTP.
Always true: addresses of the pod and Service ranges are reached from inside the node's network, all others as any program
on this machine reaches them; sockets that nobody uses are closed when the launcher that made them is gone.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from wherry.api.service_ranges import Network
from wherry.apiserver.outward import OutwardError
from wherry.launcher.client import LauncherClient, LauncherError
from wherry.launcher.options import PROC

SPARE = 8
"""Sockets asked of the launcher at a time: a call costs it a round trip, and webhooks come in bursts."""
_CONNECT_TEXTS = {
    errno.ECONNREFUSED: "connection refused",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ECONNRESET: "connection reset by peer",
    errno.ETIMEDOUT: "connection timed out",
}


class Dialer(Protocol):
    async def connect(self, host: str, port: int) -> socket.socket:
        """A connected, non-blocking TCP socket. Raises OutwardError; the caller bounds the time."""
        ...


class MachineNetwork:
    """As any program on this machine connects."""

    async def connect(self, host: str, port: int) -> socket.socket:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise OutwardError(f"dial tcp: lookup {host}: no such host") from None
        last: OutwardError | None = None
        for family, kind, protocol, _, address in found:
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            try:
                return await connect(sock, address)
            except OutwardError as error:
                last = error
        raise last or OutwardError(f"dial tcp: lookup {host}: no such host")


class NodeNetwork:
    """As the node's own programs connect for addresses of `ranges`, as the machine's do for all others. `more`: ranges that
    come and go."""

    def __init__(self, launcher: Path, ranges: Sequence[str], more: Callable[[], Iterable[Network]] = tuple) -> None:
        self._path = launcher
        self._ranges = tuple(ipaddress.ip_network(each) for each in ranges)
        self._more = more
        self._machine = MachineNetwork()
        self._launcher: LauncherClient | None = None
        self._translates = False
        self._spare: deque[socket.socket] = deque()
        self._asking = asyncio.Lock()

    async def connect(self, host: str, port: int) -> socket.socket:
        if not self._inside(host):
            return await self._machine.connect(host, port)
        try:
            sock = await self._socket()
            try:
                real = await self._real(host, port)
            except BaseException:
                sock.close()
                raise
        except (OSError, LauncherError) as error:
            raise OutwardError(f"dial tcp {host}:{port}: the node does not run: {error}") from error
        if real is None:
            sock.close()
            raise OutwardError(f"dial tcp {host}:{port}: connect: connection refused")
        return await connect(sock, real)

    async def _real(self, host: str, port: int) -> tuple[str, int] | None:
        """In tier proc pods and Services have addresses by agreement only, and the launcher knows where they are."""
        assert self._launcher is not None
        if not self._translates:
            return host, port
        try:
            reply = await self._launcher.call("node.resolve", host=host, port=port)
        except LauncherError as error:
            if error.reason in ("ECONNREFUSED", "EHOSTUNREACH"):
                return None
            raise
        address, real = reply.args["address"]
        return address, real

    def _inside(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in each for each in self._ranges) or any(address in each for each in self._more())

    async def _socket(self) -> socket.socket:
        async with self._asking:
            if self._launcher is not None and self._launcher.closed.is_set():
                self.close()
            if self._launcher is None:
                launcher = LauncherClient(self._path)
                await launcher.connect()
                self._launcher = launcher
                self._translates = (await launcher.call("ping")).args["tier"] == PROC
            if not self._spare:
                reply = await self._launcher.call("node.sockets", count=SPARE)
                self._spare.extend(socket.socket(fileno=fd) for fd in reply.fds)
            return self._spare.popleft()

    def close(self) -> None:
        """Let go of the launcher and of sockets of its network; the next connection asks anew."""
        if self._launcher is not None:
            self._launcher.close()
            self._launcher = None
        while self._spare:
            self._spare.popleft().close()


async def connect(sock: socket.socket, address: tuple[object, ...]) -> socket.socket:
    """`sock`, connected; closed when that fails. Raises OutwardError."""
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except OSError as error:
        sock.close()
        text = _CONNECT_TEXTS.get(error.errno or 0) or os.strerror(error.errno or 0).lower()
        host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
        raise OutwardError(f"dial tcp {host}:{address[1]}: connect: {text}") from error
    except BaseException:
        sock.close()
        raise
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
