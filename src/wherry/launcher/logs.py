"""A container's log file in CRI's format, and its rotation.

    2026-11-21T08:00:00.123456789Z stdout F a whole line
    2026-11-21T08:00:00.123456789Z stdout P the first 16 KiB of a long one

Rotation is kubelet's (containerLogMaxSize, containerLogMaxFiles): `0.log` becomes `0.log.<YYYYmmdd-HHMMSS>`, the oldest
beyond the number of files goes. The same instant stands on every line of one read.
"""

from __future__ import annotations

import os
import time

LINE_BYTES_MAX = 16 * 1024  # containerd's max_container_log_line_size
FILE_BYTES_MAX = 10 * 1024 * 1024  # kubelet's containerLogMaxSize
FILES_MAX = 5  # kubelet's containerLogMaxFiles, the current one included


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nine digits."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


class LineSplitter:
    """Cuts one stream into log records. What has no newline yet waits, at most LINE_BYTES_MAX of it."""

    def __init__(self, stream: str) -> None:
        self._full = f" {stream} F ".encode()
        self._partial = f" {stream} P ".encode()
        self._rest = b""

    def feed(self, data: bytes, stamp: bytes) -> bytes:
        """The records that `data` completes."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        out: list[bytes] = []
        for line in lines:
            while len(line) > LINE_BYTES_MAX:
                out += (stamp, self._partial, line[:LINE_BYTES_MAX], b"\n")
                line = line[LINE_BYTES_MAX:]
            out += (stamp, self._full, line, b"\n")
        while len(self._rest) >= LINE_BYTES_MAX:
            out += (stamp, self._partial, self._rest[:LINE_BYTES_MAX], b"\n")
            self._rest = self._rest[LINE_BYTES_MAX:]
        return b"".join(out)

    def end(self, stamp: bytes) -> bytes:
        """The record of a last line without a newline, which containerd marks as partial."""
        rest, self._rest = self._rest, b""
        return stamp + self._partial + rest + b"\n" if rest else b""


class LogFile:
    """Appends records to one file and rotates it. Errors of the disk lose records, never the container."""

    def __init__(self, path: str, *, bytes_max: int = FILE_BYTES_MAX, files_max: int = FILES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._fd = -1
        self._size = 0
        self.reopen()

    def reopen(self) -> None:
        """Go on in a file of the name, made if somebody moved the old one away. Raises OSError."""
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.close()
        self._fd = fd
        self._size = os.fstat(fd).st_size

    def write(self, records: bytes, seconds: float) -> None:
        """Append; `seconds` is now, for the name of a rotated file."""
        if not records or self._fd < 0:
            return
        try:
            view = memoryview(records)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:  # a full disk: the container goes on, its lines are lost, as with any container runtime
            return
        self._size += len(records)
        if self._size >= self._bytes_max:
            self._rotate(seconds)

    def _rotate(self, seconds: float) -> None:
        name = f"{self._path}.{time.strftime('%Y%m%d-%H%M%S', time.gmtime(seconds))}"
        try:
            if os.path.exists(name):  # twice within a second: the file grows a little longer
                return
            os.rename(self._path, name)
            self.reopen()
            for old in rotated(self._path)[: -(self._files_max - 1)]:
                os.unlink(old)
        except OSError:
            return

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def rotated(path: str) -> list[str]:
    """The rotated files of a log, oldest first."""
    directory, name = os.path.split(path)
    return sorted(os.path.join(directory, entry) for entry in os.listdir(directory) if entry.startswith(name + "."))
