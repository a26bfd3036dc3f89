"""How the launcher is spoken to: one JSON object per SOCK_SEQPACKET message, descriptors by SCM_RIGHTS.

    request   {"id": 7, "op": "node.socket", "args": {...}}
    answer    {"id": 7, "ok": {...}}   or   {"id": 7, "error": {"reason": "...", "message": "..."}}
    event     {"event": {...}}         pushed to whoever subscribed

A message whose text does not fit into one packet travels in a memfd, so that a pod with a megabyte of environment works;
above MESSAGE_BYTES_MAX it is refused by the sender. This file is used by both ends and by pod inits; it never blocks by
itself (the socket decides) and knows no operation.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]

INLINE_BYTES_MAX = 48 * 1024  # well below the default socket buffer (208 KiB), and one recvmsg buffer
MESSAGE_BYTES_MAX = 16 * 1024 * 1024  # etcd refuses objects above 1.5 MiB; a pod's environment may join several
FDS_MAX = 250  # the kernel's SCM_MAX_FD is 253; one is needed for the memfd
_SPILLED = b"\x00"  # JSON never starts with it: what follows is the size of the text in the first descriptor
_ANCILLARY_BYTES = socket.CMSG_SPACE((FDS_MAX + 1) * array.array("i").itemsize)


class LauncherError(Exception):
    """The launcher could not do it. `reason` is one word for programs, the text says what was tried and why it failed."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class ProtocolError(ConnectionError):
    """The other end does not speak this protocol, or descriptors were lost on the way."""


def socketpair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends, close-on-exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send one message. Raises BlockingIOError on a full non-blocking socket, LauncherError(TooLarge) for what cannot be sent."""
    send_packet(sock, *encode(message, fds))


def encode(message: Message, fds: Sequence[int] = ()) -> tuple[bytes, Sequence[int]]:
    """The bytes of a message and the descriptors to send with it."""
    if len(fds) > FDS_MAX:
        raise LauncherError("TooLarge", f"{len(fds)} descriptors in one message, at most {FDS_MAX} can be sent")
    text = json.dumps(message, separators=(",", ":")).encode()
    if len(text) > MESSAGE_BYTES_MAX:
        raise LauncherError("TooLarge", f"a message of {len(text)} bytes, at most {MESSAGE_BYTES_MAX} can be sent")
    return text, fds


def send_packet(sock: socket.socket, text: bytes, fds: Sequence[int]) -> None:
    """Send what `encode` made; may be repeated after BlockingIOError."""
    if len(text) <= INLINE_BYTES_MAX:
        sock.sendmsg([text], _rights(fds))
        return
    spill = os.memfd_create("wherry-message", os.MFD_CLOEXEC)
    try:
        view = memoryview(text)
        while view:
            view = view[os.write(spill, view) :]
        sock.sendmsg([_SPILLED + struct.pack("<Q", len(text))], _rights([spill, *fds]))
    finally:
        os.close(spill)


def _rights(fds: Sequence[int]) -> list[tuple[int, int, bytes]]:
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []


def receive(sock: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors (close-on-exec, the caller's); None at the end.

    Raises BlockingIOError on an empty non-blocking socket, ProtocolError for what is no message.
    """
    try:
        text, ancillary, flags, _ = sock.recvmsg(INLINE_BYTES_MAX + 1, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        # The peer closed without reading all that we sent; the kernel says so before it hands out what the peer sent last.
        text, ancillary, flags, _ = sock.recvmsg(INLINE_BYTES_MAX + 1, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
    fds = _received(ancillary)
    if not text and not fds:
        return None
    try:
        return _decode(text, fds, cut=bool(flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC))), fds
    except ProtocolError:
        close_fds(fds)
        raise


def _decode(text: bytes, fds: list[int], *, cut: bool) -> Message:
    if cut:
        raise ProtocolError("a message was cut short: the limit of open files may be reached")
    if text.startswith(_SPILLED):
        text = _unspill(text, fds)
    try:
        message = json.loads(text)
    except ValueError as error:
        raise ProtocolError(f"a message is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError("a message is not a JSON object")
    return message


def _received(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return list(fds)


def _unspill(text: bytes, fds: list[int]) -> bytes:
    if len(text) != 1 + 8 or not fds:
        raise ProtocolError("a large message came without its text")
    size = struct.unpack("<Q", text[1:])[0]
    if size > MESSAGE_BYTES_MAX:
        raise ProtocolError(f"a message of {size} bytes, at most {MESSAGE_BYTES_MAX} are taken")
    with open(fds.pop(0), "rb") as spill:
        content = spill.read(size) if spill.seek(0) == 0 else b""
    if len(content) != size:
        raise ProtocolError("a large message ended early")
    return content


def close_fds(fds: Sequence[int]) -> None:
    """Close what nobody will use; one that is closed already is no error."""
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass


_SUN_PATH_BYTES_MAX = 107  # unix(7), without the final zero byte
_directories: dict[str, int] = {}


def unix_address(path: str | os.PathLike[str]) -> str:
    """A name for bind and connect of a Unix socket at any length of path: long ones go through /proc/self/fd.

    The descriptor of such a directory stays open (there are two or three); a directory made anew is noticed.
    """
    text = os.fspath(path)
    if len(os.fsencode(text)) <= _SUN_PATH_BYTES_MAX:
        return text
    parent, name = os.path.split(text)
    known = _directories.get(parent)
    if known is not None and not os.path.samestat(os.fstat(known), os.stat(parent)):
        os.close(_directories.pop(parent))
        known = None
    if known is None:
        known = _directories[parent] = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{known}/{name}"
