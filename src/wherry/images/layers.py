"""A layer is a tar of changes (OCI image specification, "layer"); unpacked it is a directory in overlayfs' format.

Deleted paths: `.wh.NAME` in the tar, what launcher/whiteouts.py makes unpacked. A directory that hides what lies below it:
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
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from wherry.launcher import whiteouts
from wherry.launcher.whiteouts import is_whiteout

WHITEOUT = ".wh."
RESERVED = ".wh..wh."
OPAQUE = ".wh..wh..opq"
OPAQUE_ATTRIBUTE = "user.overlay.opaque"
XATTR = "SCHILY.xattr."  # how tar carries extended attributes, as GNU tar, libarchive and Go write them
CHUNK = 1 << 20
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
GZIP_MAGIC = b"\x1f\x8b"


class LayerError(Exception):
    """The layer cannot be unpacked; the text names the entry and why."""


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
    try:
        with tarfile.open(fileobj=cast(IO[Any], hashing), mode="r|") as archive:
            unpacking = _Unpacking(archive, target)
            for member in archive:
                unpacking.take(member)
        unpacking.finish()
        return hashing.digest()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise LayerError(f"the layer cannot be unpacked: {error}") from error


class _Unpacking:
    """One tar on its way to disk. Directories get mode and times last: their content needs the one and changes the other."""

    def __init__(self, archive: tarfile.TarFile, target: Path) -> None:
        self._archive, self._target = archive, target
        self._owners = os.geteuid() == 0  # an ordinary user owns everything and is root inside
        self._directories: dict[Path, tarfile.TarInfo] = {}
        self._parents: dict[
            str, Path
        ] = {}  # directories known to be ours; asking for each entry takes a third of the time

    def take(self, member: tarfile.TarInfo) -> None:
        path = self._place(member.name)
        if path is None:
            if member.isdir():
                self._directories[self._target] = member
        elif path.name == OPAQUE:
            _make(path.parent)
            os.setxattr(path.parent, OPAQUE_ATTRIBUTE, b"y")
        elif path.name.startswith(RESERVED):
            return  # bookkeeping of old storage drivers
        elif path.name.startswith(WHITEOUT):
            self._whiteout(path, member)
        else:
            _make(path.parent)
            self._entry(path, member)

    def finish(self) -> None:
        deepest_first = sorted(self._directories.items(), key=lambda item: len(item[0].parts), reverse=True)
        for path, member in deepest_first:
            path.chmod(stat.S_IMODE(member.mode))
            os.utime(path, (member.mtime, member.mtime))

    def _place(self, name: str) -> Path | None:
        """Where an entry goes; None for the root itself. Raises LayerError for a way out."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise LayerError(f"entry {name!r} leaves its layer")
        if not parts:
            return None
        key = "/".join(parts[:-1])
        folder = self._parents.get(key)
        if folder is None:
            folder = self._target
            for part in parts[:-1]:
                folder = folder / part
                if folder.is_symlink():
                    raise LayerError(
                        f"entry {name!r} goes through the symbolic link {folder.relative_to(self._target)}"
                    )
            if folder.is_dir():
                self._parents[key] = folder
        return folder / parts[-1]

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

    def _entry(self, path: Path, member: tarfile.TarInfo) -> None:
        if member.isdir():
            self._directory(path, member)
            return
        if not (member.isfile() or member.issym() or member.islnk() or member.isfifo()):
            return  # device nodes: /dev of a container is made for it, and no ordinary user could make them
        source = self._place(member.linkname) if member.islnk() else None
        if member.islnk() and (source is None or source == path):
            raise LayerError(f"entry {member.name!r} is a hard link to {member.linkname!r}")
        self._clear(path)
        if member.issym():
            path.symlink_to(member.linkname)
        elif source is not None:
            os.link(source, path, follow_symlinks=False)
            return  # the same file: owner, mode and times are the first one's
        elif member.isfifo():
            os.mkfifo(path)
        else:
            self._write(path, member)
        self._own(path, member)
        if not member.issym():
            path.chmod(stat.S_IMODE(member.mode))  # after the owner: chown takes set-user-id bits away
            _attributes(path, member)
            os.utime(path, (member.mtime, member.mtime))

    def _directory(self, path: Path, member: tarfile.TarInfo) -> None:
        hides = False
        if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
            hides = is_whiteout(path.lstat())
            path.unlink()
        path.mkdir(exist_ok=True)
        path.chmod(0o700)
        if hides:
            os.setxattr(path, OPAQUE_ATTRIBUTE, b"y")
        self._own(path, member)
        _attributes(path, member)
        self._directories[path] = member

    def _clear(self, path: Path) -> None:
        """A later entry replaces an earlier one; a directory with all that was in it."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            self._parents.clear()
            self._directories = {
                each: member for each, member in self._directories.items() if not each.is_relative_to(path)
            }
        elif os.path.lexists(path):
            path.unlink()

    def _write(self, path: Path, member: tarfile.TarInfo) -> None:
        source = self._archive.extractfile(member)
        assert source is not None, "a regular file has content"
        with path.open("xb") as file:
            shutil.copyfileobj(source, file, CHUNK)
        if path.stat().st_size != member.size:
            raise LayerError(f"entry {member.name!r}: the tar ends in the middle of it")

    def _own(self, path: Path, member: tarfile.TarInfo) -> None:
        if self._owners:
            os.chown(path, member.uid, member.gid, follow_symlinks=False)


def _make(folder: Path) -> None:
    """A directory the tar did not mention; whatever our umask is, the image's users can enter it."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir()
        folder.chmod(0o755)


def _attributes(path: Path, member: tarfile.TarInfo) -> None:
    """File capabilities and users' own attributes; never overlayfs' own, which would be instructions to the kernel."""
    for key, value in member.pax_headers.items():
        name = key.removeprefix(XATTR)
        if name != key and (name == "security.capability" or name.startswith("user.")):
            if name.startswith("user.overlay."):
                continue
            try:
                os.setxattr(path, name, value.encode("utf-8", "surrogateescape"))
            except OSError:
                continue  # not for an ordinary user, or not on this file system
