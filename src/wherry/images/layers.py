"""A layer is a tar of changes (OCI image specification, "layer"); unpacked it is a directory in overlayfs' format.

Deleted paths: `.wh.NAME` in the tar, what launcher/whiteouts.py makes unpacked. A directory that hides what lies below it:
`.wh..wh..opq` in the tar, the attribute `user.overlay.opaque` unpacked. Nothing of a tar may land outside its directory:
paths with `..`, and paths through a symbolic link of the same layer, are refused.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from wherry.images.unpacking import (
    CHUNK,
    GZIP_MAGIC,
    OPAQUE_ATTRIBUTE,
    ZSTD_MAGIC,
    Directories,
    LayerError,
    Unpacking,
    opened,
)
from wherry.launcher import whiteouts

__all__ = ["CHUNK", "GZIP_MAGIC", "OPAQUE_ATTRIBUTE", "LayerError", "unpack"]

WHITEOUT = ".wh."
RESERVED = ".wh..wh."
OPAQUE = ".wh..wh..opq"


class _Hashing:
    """A stream that hashes what passes, so that one reading gives the diff id too."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read, self._hash = read, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._read(size)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        while self.read(CHUNK):
            pass
        return f"sha256:{self._hash.hexdigest()}"


def unpack(file: BinaryIO, media_type: str, target: Path) -> str:
    """Unpack a layer's tar (plain or gzip) into the new directory `target`; its diff id. Raises LayerError."""
    magic = file.read(4)
    file.seek(0)
    if magic == ZSTD_MAGIC:
        raise LayerError(f"{media_type}: zstd layers are not supported, push the image with gzip layers")
    plain = gzip.GzipFile(fileobj=file).read if magic[:2] == GZIP_MAGIC else file.read
    hashing = _Hashing(plain)
    target.mkdir()
    target.chmod(0o755)
    directories = Directories()
    with opened(hashing, "the layer") as archive:
        _Layer(archive, directories, target).take_all()
        directories.finish()
        return hashing.digest()


class _Layer(Unpacking):
    """One layer on its way into `target`."""

    def __init__(self, archive: tarfile.TarFile, directories: Directories, target: Path) -> None:
        super().__init__(archive, directories)
        self._target = target

    def folder(self, name: str, parts: Sequence[str]) -> Path:
        folder = self._target
        for part in parts:
            folder = folder / part
            if folder.is_symlink():
                raise LayerError(f"entry {name!r} goes through the symbolic link {folder.relative_to(self._target)}")
        return folder

    def take(self, member: tarfile.TarInfo) -> None:
        path = self.place(member.name)
        if path is None:
            if member.isdir():
                self._directories.note(self._target, member.mode, member.mtime)
        elif path.name == OPAQUE:
            _make(path.parent)
            os.setxattr(path.parent, OPAQUE_ATTRIBUTE, b"y")
        elif path.name.startswith(RESERVED):
            return  # bookkeeping of old storage drivers
        elif path.name.startswith(WHITEOUT):
            self._whiteout(path, member)
        else:
            _make(path.parent)
            self.put(path, member)

    def _whiteout(self, path: Path, member: tarfile.TarInfo) -> None:
        """It speaks of the layers below: what this layer itself has at that path stays, and a directory becomes opaque."""
        name = path.name.removeprefix(WHITEOUT)
        if name in ("", ".", ".."):
            raise LayerError(f"entry {member.name!r} deletes nothing that has a name")
        path = path.with_name(name)
        _make(path.parent)
        if path.is_dir() and not path.is_symlink():
            os.setxattr(path, OPAQUE_ATTRIBUTE, b"y")
        elif not os.path.lexists(path):
            whiteouts.make(path)


def _make(folder: Path) -> None:
    """A directory the tar did not mention; whatever our umask is, the image's users can enter it."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir()
        folder.chmod(0o755)
