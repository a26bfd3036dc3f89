"""A door before a UDP port in tier `proc`: datagrams and their answers are carried on as late as faults say, or not at all."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import OrderedDict

from wherry.aio.clock import Clock
from wherry.chaos.between import Between, Pair, hold
from wherry.launcher.proc.ports import Place
from wherry.network.held import Held
from wherry.network.late_door import listening, onward, there

CALLERS_MAX = 512
"""Sockets that are called from, each of which needs one here; the oldest gives way."""
ROUND_MAX = 128
_DATAGRAM_BYTES_MAX = 65535
_BYTES_MAX = 4 * 1024 * 1024


class DatagramDoor:
    """Before `behind`, which is a port of the pod `ip`. Raises OSError."""

    def __init__(self, behind: Place, ip: str, between: Between, clock: Clock) -> None:
        self._behind = behind
        self._ip = ip
        self._between = between
        self._clock = clock
        self._held = Held(_BYTES_MAX)
        self._onward: OrderedDict[Place, socket.socket] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._sock = listening(behind, socket.SOCK_DGRAM)
        self.place: Place = self._sock.getsockname()
        self._loop.add_reader(self._sock, self._readable)

    def close(self) -> None:
        """What is held is lost."""
        if self._timer is not None:
            self._timer.cancel()
        for sock in (self._sock, *self._onward.values()):
            self._loop.remove_reader(sock)
            sock.close()
        self._onward.clear()

    def _readable(self) -> None:
        for _ in range(ROUND_MAX):
            try:
                data, caller = self._sock.recvfrom(_DATAGRAM_BYTES_MAX)
            except OSError:
                break
            self._put(self._pair(caller), True, caller, data)
        self._set_timer()

    def _answered(self, caller: Place, sock: socket.socket) -> None:
        for _ in range(ROUND_MAX):
            try:
                data = sock.recv(_DATAGRAM_BYTES_MAX)
            except OSError:
                break
            self._put(self._pair(caller)[::-1], False, caller, data)
        self._set_timer()

    def _pair(self, caller: Place) -> Pair:
        return there(self._between, caller[0], self._behind, self._ip)

    def _put(self, pair: Pair, on: bool, caller: Place, data: bytes) -> None:
        seconds = hold(self._between.of(pair))
        if seconds is not None:
            key = struct.pack("?4sH", on, socket.inet_aton(caller[0]), caller[1])
            self._held.put(self._clock.monotonic(), seconds, key, data)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._held.next()
        if due is not None:
            self._timer = self._loop.call_later(max(due - self._clock.monotonic(), 0.0), self._release)

    def _release(self) -> None:
        for key, data in self._held.take(self._clock.monotonic()):
            on, ip, port = struct.unpack("?4sH", key)
            caller = socket.inet_ntoa(ip), port
            try:
                if on:
                    self._way(caller).send(data)
                else:
                    self._sock.sendto(data, caller)
            except OSError:
                continue  # nobody is there, or cannot take more: a datagram may be lost
        self._timer = None
        self._set_timer()

    def _way(self, caller: Place) -> socket.socket:
        """Raises OSError."""
        sock = self._onward.get(caller)
        if sock is None:
            if len(self._onward) >= CALLERS_MAX:
                self._drop(next(iter(self._onward)))
            sock = self._onward[caller] = onward(socket.SOCK_DGRAM, caller[0], self._behind)
            sock.connect(self._behind)
            self._loop.add_reader(sock, self._answered, caller, sock)
        return sock

    def _drop(self, caller: Place) -> None:
        sock = self._onward.pop(caller)
        self._loop.remove_reader(sock)
        sock.close()
