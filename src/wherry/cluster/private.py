"""Files of a system's state: only their owner reads them, and a reader sees the old content or the new one, never half."""

from __future__ import annotations

import errno
import os
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)


def write(path: Path, text: str) -> None:
    """Replace the file; mode 0600 from its first moment."""
    draft = path.with_name(f"{path.name}.tmp")
    with open(draft, "w", opener=opener) as file:
        file.write(text)
    draft.replace(path)


def write_or_overwrite(path: Path, text: str) -> None:
    """The same, but on a full disk what is there is overwritten in place: half of it may be seen for a
    moment then. Raises OSError where nothing is there."""
    try:
        write(path, text)
    except OSError as error:
        if error.errno not in FULL:
            raise
        overwrite(path, text)


def overwrite(path: Path, text: str) -> None:
    """In place, which takes no room; spaces stand where the file was longer. Raises OSError where there is none."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, text.encode().ljust(os.fstat(descriptor).st_size), 0)
    finally:
        os.close(descriptor)


def opener(path: str, flags: int) -> int:
    """For `open(..., opener=opener)`: what is made is only its owner's; what was there from before becomes it."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor
