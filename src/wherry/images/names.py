"""Names of images: one JSON file, name -> manifest digest. Read without a lock, changed under one, replaced by rename."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from wherry.images.blobs import private


class Names:
    """`names.json` under `root`; what was read is kept until the file changes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: tuple[tuple[int, int, int], dict[str, str]] = ((0, 0, 0), {})

    def all(self) -> dict[str, str]:
        """Shared and not to be changed."""
        try:
            with (self._root / "names.json").open() as file:
                status = os.fstat(file.fileno())
                stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
                if self._read[0] != stamp:
                    self._read = (stamp, json.load(file))
        except FileNotFoundError:
            return {}
        return self._read[1]

    @contextlib.contextmanager
    def changing(self) -> Iterator[dict[str, str]]:
        """A private copy, written when the block ends well."""
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self._root / "names.lock", "w", opener=private) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            names = dict(self.all())
            yield names
            draft = self._root / "names.tmp"
            with open(draft, "w", opener=private) as file:
                json.dump(names, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._root / "names.json")
