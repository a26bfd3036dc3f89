"""Kubernetes' channels in WebSocket messages, sans-IO: one byte says which stream the rest belongs to.

    v5.channel.k8s.io          as v4, and message 255 n closes channel n (how stdin ends)
    v4.channel.k8s.io          error channel carries a Status as JSON
    *.base64.channel.k8s.io    text messages: the digit of the channel, then base64
Documented with kubectl's remote command protocol; the error channel is last, and then the connection ends.
"""

from __future__ import annotations

import base64
import binascii
import json

from msgspec import Struct

from wherry.api.types import Obj

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "base64.channel.k8s.io")
"""In the order of our preference."""


class ChannelError(Exception):
    """A message that is none of the protocol."""


class Input(Struct, frozen=True):
    data: bytes


class Resized(Struct, frozen=True):
    columns: int
    rows: int


class InputClosed(Struct, frozen=True):
    pass


Event = Input | Resized | InputClosed


class Framing:
    """The chosen subprotocol's way to write and read messages."""

    def __init__(self, protocol: str) -> None:
        self.is_text = "base64" in protocol
        self._can_close = protocol.startswith("v5.")

    def encode(self, channel: int, data: bytes) -> bytes | str:
        """One message: text for the base64 variants, else bytes."""
        if self.is_text:
            return f"{channel}{base64.b64encode(data).decode()}"
        return bytes([channel]) + data

    def split(self, message: bytes | str) -> tuple[int, bytes]:
        """Channel and data of a message. Raises ChannelError."""
        if not message:
            raise ChannelError("an empty message")
        if not self.is_text:
            raw = message.encode() if isinstance(message, str) else message
            return raw[0], raw[1:]
        text = message if isinstance(message, str) else message.decode("latin-1")
        if not text[0].isdigit():
            raise ChannelError(f"no channel begins with {text[0]!r}")
        try:
            return int(text[0]), base64.b64decode(text[1:], validate=True)
        except binascii.Error as error:
            raise ChannelError(f"not base64: {error}") from error

    def receive(self, message: bytes | str) -> Event | None:
        """What the client says; None for what means nothing here (an empty keep-alive). Raises ChannelError."""
        channel, data = self.split(message)
        if channel == STDIN:
            return Input(data) if data else None
        if channel == RESIZE:
            return terminal_size(data)
        if channel == CLOSE and self._can_close:
            return InputClosed() if data[:1] == bytes([STDIN]) else None
        raise ChannelError(f"clients do not write to channel {channel}")


def terminal_size(data: bytes) -> Resized | None:
    """`{"Width":80,"Height":24}`; None when it is no size."""
    try:
        size = json.loads(data)
        return Resized(int(size["Width"]), int(size["Height"]))
    except (ValueError, KeyError, TypeError):
        return None


def success() -> Obj:
    return {"metadata": {}, "status": "Success"}


def exit_status(code: int) -> Obj:
    """The Status that tells kubectl a command's exit code."""
    if code == 0:
        return success()
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def internal_error(message: str) -> Obj:
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }
