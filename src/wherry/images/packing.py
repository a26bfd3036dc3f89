"""The tar of an unpacked layer (OCI image specification, "layer"): the same tree gives the same bytes."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol, cast

from wherry.images.layers import OPAQUE, OPAQUE_ATTRIBUTE, WHITEOUT
from wherry.launcher.reading import open_own
from wherry.launcher.whiteouts import is_whiteout


class Writable(Protocol):
    def write(self, data: bytes, /) -> int: ...


def pack(tree: Path, output: Writable) -> str:
    """Write the tar, sorted by path; its diff id. Owners are kept for root; an ordinary user's files are root's inside."""
    writer = _Hashing(output)
    with tarfile.open(fileobj=cast(IO[Any], writer), mode="w|", format=tarfile.PAX_FORMAT) as archive:
        packer = _Packer(archive, tree)
        for path in _walk(tree):
            packer.add(path)
    return writer.digest


class _Hashing:
    def __init__(self, output: Writable) -> None:
        self._output, self._hash = output, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return self._output.write(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _walk(folder: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda item: item.name):
        path = Path(entry.path)
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path)


class _Packer:
    """One tar on its way; knows the first name of each inode, so that hard links stay links."""

    def __init__(self, archive: tarfile.TarFile, tree: Path) -> None:
        self._archive, self._tree = archive, tree
        self._owners = os.geteuid() == 0
        self._first: dict[tuple[int, int], str] = {}

    def add(self, path: Path) -> None:
        status, name = path.lstat(), str(path.relative_to(self._tree))
        if is_whiteout(status):
            self._archive.addfile(tarfile.TarInfo(str(Path(name).with_name(WHITEOUT + path.name))))
            return
        info = tarfile.TarInfo(name)
        info.mode, info.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
        if self._owners:
            info.uid, info.gid = status.st_uid, status.st_gid
        if stat.S_ISDIR(status.st_mode):
            info.type = tarfile.DIRTYPE
            self._archive.addfile(info)
            if _opaque(path):
                self._archive.addfile(tarfile.TarInfo(f"{name}/{OPAQUE}"))
        elif stat.S_ISLNK(status.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
            self._archive.addfile(info)
        elif stat.S_ISFIFO(status.st_mode):
            info.type = tarfile.FIFOTYPE
            self._archive.addfile(info)
        elif stat.S_ISREG(status.st_mode):
            self._file(info, path, status)

    def _file(self, info: tarfile.TarInfo, path: Path, status: os.stat_result) -> None:
        first = self._first.setdefault((status.st_dev, status.st_ino), info.name)
        if first != info.name:
            info.type, info.linkname = tarfile.LNKTYPE, first
            self._archive.addfile(info)
            return
        info.size = status.st_size
        with os.fdopen(open_own(path), "rb") as file:
            self._archive.addfile(info, file)


def _opaque(folder: Path) -> bool:
    try:
        return os.getxattr(folder, OPAQUE_ATTRIBUTE) == b"y"
    except OSError:
        return False
