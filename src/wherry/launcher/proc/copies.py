"""Copies of images in store: each is for the next container of its image, which takes it by a rename (image_files.py).

Is not: how an image's files are copied. Always true: a copy appears whole and goes whole, and all of them keep to the bounds,
with the one that is being made. What containers have taken is theirs and counts no more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from wherry.launcher.proc import image_files
from wherry.launcher.proc.image_files import STORED
from wherry.launcher.protocol import LauncherError

STORED_BYTES_MAX = 512 << 20
"""Of one copy; larger images have none."""
STORED_MAX = 16
"""Images with a copy: nobody says when an image is not needed any more."""
STORED_SUM_MAX = 2 << 30
"""Bytes of all copies: what one container may have at most, and sixteen images of an interpreter with its libraries."""
STORED_SHARE = 10
"""They take no more than this part of what would be free without them, so that they are not why a node runs low."""
_SIZE = ".size"
"""A link whose text is the bytes of the copy beside it: to count all of them at each start would be dear."""

Copy = tuple[int, int, str]
"""When it was made (ns), bytes, path. Who takes one has the next one made, so the oldest was used longest ago."""


def store(layers: Sequence[str], shared: str, *, host: bool = True) -> None:
    """Have a copy for the next container, in the place of those used longest ago; one is made at a time.

    Raises LauncherError for an image that is too large, OSError."""
    copy = image_files.stored(layers, shared, host=host)
    os.makedirs(shared, exist_ok=True)
    with _alone(shared):
        if os.path.isdir(copy):
            return
        with suppress(FileNotFoundError):
            os.unlink(_size_of(copy))
        others, size = _copies(shared), sum(map(_bytes, layers))
        room = room_for(_free(shared), sum(each for _, each, _ in others))
        if size > min(room, STORED_BYTES_MAX):
            raise LauncherError("CreateContainerError", f"no room for a copy of {size >> 20} MiB in store")
        for path in surplus(others, size, room):
            _remove(path, shared)
        os.symlink(str(size), _size_of(copy))
        image_files.make(layers, copy, shared, size, host=host)


def room_for(free: int, taken: int) -> int:
    """Bytes that all copies may have together: they have `taken`, and `free` are left on their disk."""
    return min(STORED_SUM_MAX, (free + taken) // STORED_SHARE)


def surplus(copies: Sequence[Copy], size: int, room: int) -> list[str]:
    """Which copies have to go before there is one more of `size` bytes; none stays that is older than one that goes."""
    newest_first = sorted(copies, reverse=True)
    left = room - size
    for number, (_, each, _) in enumerate(newest_first):
        left -= each
        if left < 0 or number >= STORED_MAX - 1:
            return [path for _, _, path in newest_first[number:]]
    return []


@contextmanager
def _alone(shared: str) -> Iterator[None]:
    directory = os.open(shared, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _free(path: str) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def _bytes(layer: str) -> int:
    """Of a layer's files, as image_files.py counts them."""
    total = 0
    with os.scandir(layer) as entries:
        for entry in entries:
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                total += _bytes(entry.path)
            elif stat.S_ISLNK(found.st_mode) or stat.S_ISREG(found.st_mode):
                total += found.st_size
    return total


def _copies(shared: str) -> list[Copy]:
    found = []
    with os.scandir(shared) as entries:
        for entry in entries:
            if entry.name.endswith(STORED):
                with suppress(FileNotFoundError):  # taken meanwhile
                    found.append((entry.stat().st_mtime_ns, int(os.readlink(_size_of(entry.path))), entry.path))
    return found


def _size_of(copy: str) -> str:
    return copy.removesuffix(STORED) + _SIZE


def _remove(copy: str, shared: str) -> None:
    """Under another name, so that nobody takes what is half removed."""
    draft = tempfile.mkdtemp(dir=shared)
    with suppress(FileNotFoundError):  # taken meanwhile
        os.rename(copy, draft)
        os.unlink(_size_of(copy))
    shutil.rmtree(draft)
