"""Log files in CRI's format, line by line. Pure.

2026-11-21T08:00:00.123456789Z stdout F a whole line
2026-11-21T08:00:00.123456789Z stdout P the first part of a long one
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from wherry.aio.clock import parse_rfc3339


class Options(Struct, frozen=True):
    """What of a log is asked for (PodLogOptions)."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: float | None = None
    """Unix seconds."""
    stream: str = ""
    """`stdout`, `stderr`, or both."""

    @classmethod
    def of(cls, query: Mapping[str, str], now: float) -> Options:
        """Of a request, at `now` in Unix seconds. Raises ValueError."""
        since = None
        if query.get("sinceSeconds"):
            since = now - int(query["sinceSeconds"])
        elif query.get("sinceTime"):
            since = parse_rfc3339(query["sinceTime"])
        return cls(
            follow=is_set(query, "follow"),
            timestamps=is_set(query, "timestamps"),
            tail_lines=int(query["tailLines"]) if query.get("tailLines") else None,
            limit_bytes=int(query["limitBytes"]) if query.get("limitBytes") else None,
            since=since,
            stream={"Stdout": "stdout", "Stderr": "stderr"}.get(query.get("stream", ""), ""),
        )


def is_set(query: Mapping[str, str], name: str) -> bool:
    return query.get(name) in ("1", "true")


class Record(Struct, frozen=True):
    stamp: bytes
    stream: bytes
    is_partial: bool
    text: bytes


def parse(line: bytes) -> Record | None:
    """One record of a line without its newline; None when it is none (cut by a full disk)."""
    parts = line.split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    return Record(parts[0], parts[1], parts[2].startswith(b"P"), parts[3] if len(parts) == 4 else b"")


class Printer:
    """Turns records into what the client sees; parts of one line are joined, a timestamp stands before the first."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._left = options.limit_bytes
        self._inside: set[bytes] = set()

    @property
    def is_full(self) -> bool:
        """limitBytes has been reached."""
        return self._left is not None and self._left <= 0

    def print(self, line: bytes) -> bytes:
        record = parse(line)
        if record is None or not self.wants(record):
            return b""
        text = record.text if record.is_partial else record.text + b"\n"
        if self._options.timestamps and record.stream not in self._inside:
            text = record.stamp + b" " + text
        if record.is_partial:
            self._inside.add(record.stream)
        else:
            self._inside.discard(record.stream)
        if self._left is not None:
            text = text[: max(self._left, 0)]
            self._left -= len(text)
        return text

    def wants(self, record: Record) -> bool:
        options = self._options
        if options.stream and record.stream.decode() != options.stream:
            return False
        return options.since is None or _seconds(record.stamp) >= options.since


def _seconds(stamp: bytes) -> float:
    """Unix seconds of a nanosecond timestamp; the far future for what is none, so that it is shown."""
    text = stamp.decode(errors="replace")
    head, dot, fraction = text.partition(".")
    try:
        whole = parse_rfc3339(head + "Z" if dot else text)
        return whole + float(f"0.{fraction.rstrip('Z')}") if dot else whole
    except ValueError:
        return float("inf")
