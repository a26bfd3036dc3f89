"""The forms of sendmsg(2) and recvmsg(2): struct msghdr and cmsghdr, a caller's and one of our own that stands for it.

A caller's is read once: what it says later is nobody's business. Where a message goes or comes from is decided in datagrams.py.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct

from wherry.launcher.proc.addresses import SOCKADDR_BYTES_MAX
from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.finding import signed
from wherry.launcher.proc.memory import BUFFER_BYTES
from wherry.launcher.proc.outcomes import Refusal, checked

_libc = ctypes.CDLL(None, use_errno=True)
for _name in ("sendmsg", "recvmsg"):
    _function = getattr(_libc, _name)
    _function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
    _function.restype = ctypes.c_ssize_t

HEADER = struct.Struct("=QI4xQQQQi4x")
"""struct msghdr: name and its length, pieces, how many, control and its length, flags."""
MANY_BYTES = HEADER.size + 8  # struct mmsghdr
_CONTROL_HEAD = struct.Struct("=Qii")  # struct cmsghdr
CONTROL_BYTES_MAX = 4096
"""Of the control messages of one message, as its caller has them."""
_CONTROL_ROOM = CONTROL_BYTES_MAX + 64  # datagrams.py puts one more before them: struct in_pktinfo or in6_pktinfo
MSG_FASTOPEN = 0x20000000
_MSG_CMSG_CLOEXEC = 0x40000000


class Message:
    """A header of our own, with room for all that it points to, made once. Its methods never wait."""

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(BUFFER_BYTES)
        sizes = SOCKADDR_BYTES_MAX, _CONTROL_ROOM, 16, HEADER.size
        self._name, self._control, self._piece, self._header = (ctypes.create_string_buffer(size) for size in sizes)

    def send(self, sock: socket.socket, name: bytes, payload: bytes, control: bytes, flags: int) -> int:
        """What the kernel answers. Raises OSError, Refusal for what there is no room for."""
        if len(name) > SOCKADDR_BYTES_MAX or len(payload) > BUFFER_BYTES or len(control) > _CONTROL_ROOM:
            raise Refusal(errno.ENOBUFS)  # memmove knows no end
        ctypes.memmove(self._name, name, len(name))
        ctypes.memmove(self._buffer, payload, len(payload))
        ctypes.memmove(self._control, control, len(control))
        self._point(len(name), len(payload), len(control))
        flags = flags & 0xFFFFFFFF & ~MSG_FASTOPEN | socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        return checked(_libc.sendmsg(sock.fileno(), self._header, signed(flags)))

    def receive(self, sock: socket.socket, size: int, control: int, flags: int) -> tuple[int, bytes, bytes, int] | None:
        """(Bytes, name, control messages, flags) of what is there; None: nothing. Raises OSError."""
        self._point(SOCKADDR_BYTES_MAX, size, control)
        flags = flags & 0xFFFFFFFF & ~_MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
        try:
            count = checked(_libc.recvmsg(sock.fileno(), self._header, signed(flags)))
        except BlockingIOError:
            return None
        _, length, _, _, _, ancillary, said = HEADER.unpack(self._header)
        return count, self._name.raw[:length], self._control.raw[:ancillary], said

    def received(self, size: int) -> bytes:
        """The first bytes of what came last."""
        return self._buffer.raw[:size]

    def _point(self, name: int, data: int, control: int) -> None:
        """Our header to our buffers."""
        struct.pack_into("=QQ", self._piece, 0, ctypes.addressof(self._buffer), data)
        addresses = ctypes.addressof(self._name) if name else 0, ctypes.addressof(self._piece)
        ancillary = ctypes.addressof(self._control) if control else 0
        HEADER.pack_into(self._header, 0, addresses[0], name, addresses[1], 1, ancillary, control, 0)


def address_of(caller: Caller, at: int, length: int) -> bytes:
    """Of the call's arguments with these numbers. Raises OSError, GoneError, Refusal."""
    return read_address(caller, caller.arguments[at], caller.arguments[length])


def read_address(caller: Caller, address: int, length: int) -> bytes:
    """An address as the kernel takes it. Raises OSError, GoneError, Refusal."""
    if length & 0xFFFFFFFF > SOCKADDR_BYTES_MAX:
        raise Refusal(errno.EINVAL)
    return whole(caller, address, length & 0xFFFFFFFF)


def whole(caller: Caller, address: int, size: int) -> bytes:
    """So many bytes of the caller's memory, all of them. Raises Refusal and OSError (EFAULT), GoneError."""
    found = caller.read(address, size) if size else b""
    if len(found) != size:
        raise Refusal(errno.EFAULT)
    return found


def control_message(level: int, kind: int, data: bytes) -> bytes:
    """One control message, padded."""
    return (_CONTROL_HEAD.pack(_CONTROL_HEAD.size + len(data), level, kind) + data).ljust(
        (_CONTROL_HEAD.size + len(data) + 7) & ~7, b"\0"
    )


def control_messages(raw: bytes) -> list[tuple[int, int, bytes]]:
    """Level, type and data of each. Raises Refusal for what the kernel would not take."""
    found, at = [], 0
    while at + _CONTROL_HEAD.size <= len(raw):
        size, level, kind = _CONTROL_HEAD.unpack_from(raw, at)
        if not _CONTROL_HEAD.size <= size <= len(raw) - at:
            raise Refusal(errno.EINVAL)
        found.append((level, kind, raw[at + _CONTROL_HEAD.size : at + size]))
        at += (size + 7) & ~7
    return found
