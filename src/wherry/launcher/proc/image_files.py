"""The files of an image as one directory: copied for each container that may write them, linked once for all that may not.

Copying is most of a container's start, so an image that was started before has a copy in store (copies.py), which the next
container takes by a rename. Without one, as when many start at once, it is copied at the start.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Sequence

from wherry.launcher import whiteouts
from wherry.launcher.overlays import OPAQUE
from wherry.launcher.protocol import LauncherError
from wherry.launcher.reading import open_own
from wherry.launcher.whiteouts import is_whiteout

IMAGES = "launcher/images"
"""In the state directory: images of read-only roots, copies in store."""
COPIED_BYTES_MAX = 2 << 30
"""Of an image's files per container; above that the pod is refused instead of filling the disk."""
STORED = ".copy"
"""Ends the name of a copy in store."""
UNUSED = "-unused"
"""After a directory's name."""


def put(layers: Sequence[str], target: str, shared: str, *, host: bool = True) -> None:
    """A container's own copy as `target`. The directory that is there is called `UNUSED` from then on: to replace it, by a rename
    too, is to remove it, which takes ext4 up to milliseconds. An image that is no `host` lies over
    nothing. Raises LauncherError, OSError."""
    if not layers:
        return
    os.rename(target, target + UNUSED)
    try:
        os.rename(stored(layers, shared, host=host), target)
    except OSError:  # there is none, or it lies on another disk
        os.mkdir(target)
        _put_image(layers, target, _copy_file, COPIED_BYTES_MAX, host=host)


def stored(layers: Sequence[str], shared: str, *, host: bool = True) -> str:
    """Where the copy for the next container is, if there is one."""
    return os.path.join(shared, _name(layers, host=host) + STORED)


def make(layers: Sequence[str], copy: str, shared: str, room: int, *, host: bool = True) -> None:
    """A copy that appears whole as `copy`. Raises LauncherError where it has more than `room` bytes, OSError."""
    _make(layers, copy, shared, _copy_file, room, host=host)


def merged(layers: Sequence[str], shared: str, *, host: bool = True) -> str:
    """The directory of an image's files, made once: links to those of its layers, which nobody may write."""
    made = os.path.join(shared, _name(layers, host=host))
    if not os.path.isdir(made):
        os.makedirs(shared, exist_ok=True)
        _make(layers, made, shared, _link_file, COPIED_BYTES_MAX, host=host)
    return made


def is_opaque(path: str) -> bool:
    """Whether a directory of a layer hides those below it."""
    try:
        return OPAQUE in os.listxattr(path)
    except OSError:
        return False


def _name(layers: Sequence[str], *, host: bool) -> str:
    return hashlib.sha256("\0".join(layers if host else ("", *layers)).encode()).hexdigest()[:32]


def _make(
    layers: Sequence[str], made: str, shared: str, place_file: Callable[[str, str], None], room: int, *, host: bool
) -> None:
    """Appears whole or not at all."""
    draft = tempfile.mkdtemp(dir=shared)
    try:
        os.chmod(draft, 0o755)  # noqa: S103 -- it becomes a container's root
        _put_image(layers, draft, place_file, room, host=host)
        os.rename(draft, made)
    except OSError:
        shutil.rmtree(draft)
        if not os.path.isdir(made):  # else another one was faster
            raise
    except LauncherError:
        shutil.rmtree(draft)
        raise


def _put_image(
    layers: Sequence[str], target: str, place_file: Callable[[str, str], None], room: int, *, host: bool
) -> None:
    """Lowest first. What a layer removes of the one below is removed; of the machine's directories it can remove none."""
    left = room
    for layer in reversed(layers):
        left -= _put(layer, target, place_file, "" if host else None)
        if left < 0:
            raise LauncherError("CreateContainerError", f"the image's files have more than {room >> 20} MiB")


def _copy_file(source: str, target: str) -> None:
    """With mode, times and attributes. Raises FileExistsError."""
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        shutil.copystat(source, target, follow_symlinks=False)
        return
    reading = open_own(source)
    try:
        found = os.fstat(reading)
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while os.sendfile(writing, reading, None, found.st_size or 1):
                pass
            for name in os.listxattr(reading):
                os.setxattr(writing, name, os.getxattr(reading, name))
            os.fchmod(writing, stat.S_IMODE(found.st_mode))
            os.utime(writing, ns=(found.st_atime_ns, found.st_mtime_ns))
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # another file system, or too many links
        _copy_file(source, target)


def _put(source: str, target: str, place_file: Callable[[str, str], None], at: str | None) -> int:
    """Bytes of the files; `at` is where on the machine, None: nowhere. What a layer removes of the machine keeps its mark."""
    total = 0
    with os.scandir(source) as entries:
        for entry in entries:
            to = f"{target}/{entry.name}"
            below = None if at is None else f"{at}/{entry.name}"
            found = entry.stat(follow_symlinks=False)
            if is_whiteout(found):
                _remove(to)
                if below is not None and os.path.lexists(below) and not os.path.isdir(below):
                    whiteouts.make(to)  # see Overlay.hide
            elif stat.S_ISDIR(found.st_mode):
                total += _put_directory(entry.path, to, place_file, below)
                os.chmod(to, stat.S_IMODE(found.st_mode) | 0o700)
            elif stat.S_ISLNK(found.st_mode) or stat.S_ISREG(found.st_mode):
                try:
                    place_file(entry.path, to)
                except FileExistsError:  # of a layer below
                    _remove(to)
                    place_file(entry.path, to)
                total += found.st_size
    return total


def _put_directory(source: str, to: str, place_file: Callable[[str, str], None], at: str | None) -> int:
    try:
        os.mkdir(to)
    except FileExistsError:  # of a layer below
        if is_opaque(source) or os.path.islink(to) or not os.path.isdir(to):
            _remove(to)
            os.mkdir(to)
    return _put(source, to, place_file, at)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
