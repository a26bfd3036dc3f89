"""A layer is a tar of changes (OCI image specification, "layer"); unpacked it is a directory in overlayfs' format.

Deleted paths: `.wh.NAME` in the tar, a character device 0:0 unpacked. A directory that hides what lies below it:
`.wh..wh..opq` in the tar, the attribute `user.overlay.opaque` unpacked. Nothing of a tar may land outside its directory:
paths with `..`, and paths through a symbolic link of the same layer, are refused.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
OPAQUE_ATTRIBUTE = "user.overlay.opaque"
CHUNK = 1 << 20
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
GZIP_MAGIC = b"\x1f\x8b"


class LayerError(Exception):
    """The layer cannot be unpacked; the text names the entry and why."""


class _Hashing:
    """A stream that hashes what passes, so that one reading gives the diff id too."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
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
    if magic == ZSTD_MAGIC or "zstd" in media_type:
        raise LayerError(f"{media_type}: zstd layers are not supported, push the image with gzip layers")
    plain = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if magic[:2] == GZIP_MAGIC else file
    hashing = _Hashing(plain)
    target.mkdir(mode=0o755)
    directories: list[tuple[Path, tarfile.TarInfo]] = []
    try:
        with tarfile.open(fileobj=cast(BinaryIO, hashing), mode="r|") as archive:
            for member in archive:
                path = _place(target, member.name)
                if path is not None:
                    _unpack_one(archive, member, path, target)
                    if member.isdir():
                        directories.append((path, member))
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, OSError) as error:
        raise LayerError(f"the layer cannot be unpacked: {error}") from error
    for path, member in reversed(directories):  # after their content, which changes their times and needs their modes
        if path.is_dir() and not path.is_symlink():
            path.chmod(member.mode & 0o7777)
            os.utime(path, (member.mtime, member.mtime))
    return hashing.digest()


def _place(target: Path, name: str) -> Path | None:
    """Where an entry goes; None for the root itself. Raises LayerError for a way out."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts:
        return None
    if ".." in parts:
        raise LayerError(f"entry {name!r} leaves its layer")
    path = target
    for part in parts[:-1]:
        path = path / part
        if path.is_symlink():
            raise LayerError(f"entry {name!r} goes through the symbolic link {path.relative_to(target)}")
    return target.joinpath(*parts)


def _unpack_one(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name
    if name == OPAQUE:
        os.setxattr(path.parent, OPAQUE_ATTRIBUTE, b"y")
        return
    if name.startswith(WHITEOUT):
        whiteout(path.with_name(name[len(WHITEOUT) :]))
        return
    if member.isdir():
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            path.unlink()
        path.mkdir(exist_ok=True)
        path.chmod(0o700 | member.mode & 0o7777)
        _own(path, member)
        return
    if path.is_symlink() or path.exists():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if member.issym():
        path.symlink_to(member.linkname)
        _own(path, member)
    elif member.islnk():
        source = _place(target, member.linkname)
        if source is None:
            raise LayerError(f"entry {member.name!r} is a hard link to the root")
        os.link(source, path, follow_symlinks=False)
    elif member.isfile():
        _write(archive, member, path)
    elif member.isfifo():
        os.mkfifo(path, member.mode & 0o7777)
        _own(path, member)
    # Device nodes are left out: /dev of a container is made for it, and no ordinary user could make them.


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = archive.extractfile(member)
    assert source is not None, "a regular file has content"
    with path.open("xb") as file:
        shutil.copyfileobj(source, file, CHUNK)
    _own(path, member)
    path.chmod(member.mode & 0o7777)
    os.utime(path, (member.mtime, member.mtime))


def _own(path: Path, member: tarfile.TarInfo) -> None:
    """Owners are real for root; an ordinary user owns everything and is root inside."""
    if os.geteuid() == 0:
        os.chown(path, member.uid, member.gid, follow_symlinks=False)


def whiteout(path: Path) -> None:
    """Mark `path` as deleted."""
    os.mknod(path, stat.S_IFCHR | 0o600, 0)


def is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def pack(tree: Path, output: BinaryIO) -> str:
    """The tar of an unpacked layer: sorted, without access times, so that the same tree gives the same bytes; its diff id."""
    writer = _HashingWriter(output)
    with tarfile.open(fileobj=cast(BinaryIO, writer), mode="w|", format=tarfile.PAX_FORMAT) as archive:
        seen: dict[tuple[int, int], str] = {}
        for path in _walk(tree):
            _pack_one(archive, tree, path, seen)
    return writer.digest


class _HashingWriter:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return self._file.write(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _walk(folder: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda item: item.name):
        path = Path(entry.path)
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path)


def _pack_one(archive: tarfile.TarFile, tree: Path, path: Path, seen: dict[tuple[int, int], str]) -> None:
    status, name = path.lstat(), str(path.relative_to(tree))
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
    if os.geteuid() == 0:
        info.uid, info.gid = status.st_uid, status.st_gid
    if is_whiteout(status):
        info = tarfile.TarInfo(str(Path(name).with_name(WHITEOUT + path.name)))
        archive.addfile(info)
    elif stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
        if _opaque(path):
            archive.addfile(tarfile.TarInfo(f"{name}/{OPAQUE}"))
    elif stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
        archive.addfile(info)
    elif stat.S_ISFIFO(status.st_mode):
        info.type = tarfile.FIFOTYPE
        archive.addfile(info)
    elif stat.S_ISREG(status.st_mode):
        _pack_file(archive, info, path, status, seen)


def _pack_file(
    archive: tarfile.TarFile,
    info: tarfile.TarInfo,
    path: Path,
    status: os.stat_result,
    seen: dict[tuple[int, int], str],
) -> None:
    first = seen.setdefault((status.st_dev, status.st_ino), info.name)
    if first != info.name:
        info.type, info.linkname = tarfile.LNKTYPE, first
        archive.addfile(info)
        return
    info.size = status.st_size
    with path.open("rb") as file:
        archive.addfile(info, file)


def _opaque(folder: Path) -> bool:
    try:
        return os.getxattr(folder, OPAQUE_ATTRIBUTE) == b"y"
    except OSError:
        return False
