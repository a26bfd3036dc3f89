"""netd's socket at the end of the detour: takes each packet, loses it, holds it or sends it on to its pod at once.

Is: AF_PACKET, packet(7), on the loop. Is not: what is done to whom (`chaos/between.py`), nor how packets get here
(`detour_rules.py`).
Always true: TCP's segments come and go as the kernel batches them, up to 64 KB as one packet (PACKET_VNET_HDR); such a packet
is one chance. What no fault is about goes on at once.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import struct
from collections.abc import Mapping

from wherry.aio.clock import Clock
from wherry.chaos.between import Between, Line, hold
from wherry.launcher.pod_network import hardware_address
from wherry.network.held import Held

FAMILY, TYPE = socket.AF_PACKET, socket.SOCK_RAW
ETH_P_IP = 0x0800
_SOL_PACKET, _PACKET_VNET_HDR, _SO_RCVBUFFORCE, _SIOCGIFNAME = 263, 15, 33, 0x8910
_BUFFER_BYTES = 32 * 1024 * 1024
"""Wanted between two rounds of the loop; without privileges the kernel grants net.core.rmem_max."""
_PACKET_BYTES = 512
"""What a small packet takes of that, at least."""
_VNET, _ETHERNET = 10, 14
_TARGET_MAC = slice(_VNET, _VNET + 6)
_ADDRESSES = slice(_VNET + _ETHERNET + 12, _VNET + _ETHERNET + 20)
_HEADER_BYTES = _VNET + _ETHERNET + 20
_FRAME_BYTES_MAX = _VNET + _ETHERNET + 65536
ROUND_MAX = 128
"""Packets before the loop's other work gets its turn."""


class Packets:
    """`start` joins the socket to the running loop, `close` ends both. `between` may change at any time: say `forget`."""

    def __init__(self, sock: socket.socket, device: str, between: Between, clock: Clock) -> None:
        """Raises OSError."""
        self._sock = sock
        self._between = between
        self._clock = clock
        self._held = Held()
        self._buffer = bytearray(_FRAME_BYTES_MAX)
        self._devices: dict[str, str] = {}
        self._ways: dict[bytes, tuple[tuple[Line, ...], bytes, str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.lost = False
        """Whether a packet found no way to its pod since `lead` was called."""
        sock.setblocking(False)
        sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        sock.bind((device, ETH_P_IP))

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sock, self._readable)

    def lead(self, devices: Mapping[str, int]) -> None:
        """Where pods are: address -> index of the device that leads there."""
        self.lost = False
        self._devices = {ip: name for ip, index in devices.items() if (name := self._name(index))}
        self.forget()

    def forget(self) -> None:
        self._ways.clear()

    def empty(self) -> None:
        """Send on what is held and what has come, at most as much as fits into the socket."""
        for key, frame in self._held.take(float("inf")):
            self._send(key, frame)
        self._ways.clear()
        for _ in range(_BUFFER_BYTES // _PACKET_BYTES // ROUND_MAX):
            if not self._readable():
                return

    def close(self) -> None:
        """What is held is lost."""
        self._loop.remove_reader(self._sock)
        if self._timer is not None:
            self._timer.cancel()
        self._sock.close()

    def _readable(self) -> bool:
        """Whether there may be more."""
        now, view, held = self._clock.monotonic(), memoryview(self._buffer), self._held
        for _ in range(ROUND_MAX):
            try:
                size = self._sock.recv_into(view)
            except BlockingIOError:
                self._set_timer(now)
                return False
            except OSError as error:
                if error.errno != errno.EINVAL:
                    return False  # the device has gone
                continue  # a batch of a kind that this kernel cannot describe
            if size < _HEADER_BYTES:
                continue
            key = bytes(view[_ADDRESSES])
            lines, mac, _ = self._ways.get(key) or self._way(key)
            seconds = hold(lines)
            if seconds is None:
                continue
            view[_TARGET_MAC] = mac
            if not seconds and held.at_once(now, key):
                self._send(key, view[:size])
            else:
                held.put(now, seconds, key, bytes(view[:size]))
        self._set_timer(now)
        return True

    def _way(self, key: bytes) -> tuple[tuple[Line, ...], bytes, str]:
        source, target = socket.inet_ntoa(key[:4]), socket.inet_ntoa(key[4:])
        way = self._between.of((source, target)), hardware_address(target), self._devices.get(target, "")
        self._ways[key] = way
        return way

    def _send(self, key: bytes, frame: bytes | memoryview) -> None:
        _, _, device = self._ways.get(key) or self._way(key)
        if not device:
            self.lost = True
            return
        try:
            self._sock.sendto(frame, (device, ETH_P_IP))
        except OSError:  # its pod has just gone, or its queue is full
            self.lost = True

    def _set_timer(self, now: float) -> None:
        due = self._held.next()
        if due is None or (self._timer is not None and self._due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_later(max(due - now, 0.0), self._release)

    def _release(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        for key, frame in self._held.take(now):
            self._send(key, frame)
        self._set_timer(now)

    def _name(self, index: int) -> str:
        """Of a device of the node's network, which is the socket's and not ours; "" if it has gone."""
        try:
            answer: bytes = fcntl.ioctl(self._sock, _SIOCGIFNAME, struct.pack("16si20x", b"", index))
        except OSError:
            return ""
        return answer[:16].split(b"\0", 1)[0].decode()
