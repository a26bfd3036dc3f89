"""Bytes of a watch in, events out. Sans-IO: one JSON object per line, as `?watch=true` answers."""

from __future__ import annotations

from typing import Any

import msgspec

from wherry.api.types import Obj

# The API takes objects of up to 3 MiB; as an event, with defaults filled in, one stays below this.
LINE_BYTES_MAX = 8 << 20

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class WatchStreamError(ConnectionError):
    """What came is not a watch stream, or it broke off inside an event."""


class WatchStream:
    """Feed it what arrives, in whatever pieces."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._rest_bytes = 0

    def feed(self, data: bytes) -> list[Obj]:
        """The events completed by `data`. Raises WatchStreamError."""
        head, newline, tail = data.partition(b"\n")
        if not newline:
            self._keep(data)
            return []
        lines = [b"".join((*self._rest, head)), *tail.split(b"\n")]
        self._rest, self._rest_bytes = [], 0
        self._keep(lines.pop())
        try:
            return [_decode(line) for line in lines if line.strip()]
        except msgspec.MsgspecError as error:
            raise WatchStreamError(f"not a watch event: {error}") from error

    def finish(self) -> None:
        """The stream has ended. Raises WatchStreamError when it broke off inside an event."""
        if any(piece.strip() for piece in self._rest):
            raise WatchStreamError("the watch broke off inside an event")

    def _keep(self, piece: bytes) -> None:
        self._rest_bytes += len(piece)
        if self._rest_bytes > LINE_BYTES_MAX:
            raise WatchStreamError(f"a watch event of more than {LINE_BYTES_MAX} bytes")
        if piece:
            self._rest.append(piece)
