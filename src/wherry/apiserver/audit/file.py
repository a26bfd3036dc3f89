"""Where audit events go: JSON lines in a file of mode 0600, the full one moved aside, the oldest removed."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from wherry.api.types import Obj

log = logging.getLogger(__name__)
FILE_BYTES_MAX = 64 << 20
"""Some hundred thousand events at level Metadata."""
FILES_MAX = 4
"""The current one and `.1` to `.3`: a quarter of a gigabyte at most."""
_encode = msgspec.json.Encoder().encode


class AuditFile:
    """One writer. What cannot be written is said in the log of the process, and the request goes on."""

    def __init__(self, path: Path, bytes_max: int = FILE_BYTES_MAX, files_max: int = FILES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._descriptor = -1
        self._size = 0
        self._failing = False

    def write(self, event: Obj) -> None:
        line = _encode(event) + b"\n"
        try:
            if self._descriptor < 0:
                self._open()
            if self._size and self._size + len(line) > self._bytes_max:
                self._rotate()
            os.write(self._descriptor, line)
            self._size += len(line)
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.warning("audit events are lost, %s cannot be written: %s", self._path, error.strerror)
            self._failing = True

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        self.close()
        for number in range(self._files_max - 1, 0, -1):
            older = self._path if number == 1 else self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
