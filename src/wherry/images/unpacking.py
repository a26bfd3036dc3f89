"""The entries of a tar on their way to disk: what layers and the archives of a Dockerfile's ADD have in common.

Is not: where an entry goes, nor what names of layers mean; who unpacks says that. Always true: no name leads upwards, nothing is
put through a link of the tar, and a tar that is damaged is an error instead of a part of it.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import stat
import tarfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, cast

from wherry.launcher.whiteouts import is_whiteout

try:
    from lzma import LZMAError
except ImportError:  # left out when this Python was built: nobody raises it then
    LZMAError = EOFError  # type: ignore[misc,assignment]

OPAQUE_ATTRIBUTE = "user.overlay.opaque"
XATTR = "SCHILY.xattr."  # how tar carries extended attributes, as GNU tar, libarchive and Go write them
CHUNK = 1 << 20
CAP_CHOWN = 1 << 0  # its bit in linux/capability.h
DEPTH_MAX = 200
"""Directories in one another: who packs, copies and removes them goes down one by one on Python's stack."""
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
GZIP_MAGIC = b"\x1f\x8b"
_GZIP_DEFLATED = GZIP_MAGIC + b"\x08"
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")  # with the first block's mark, or that of nothing
_XZ = b"\xfd7zXZ\x00"
DAMAGES = (tarfile.TarError, EOFError, zlib.error, LZMAError, OSError, ValueError, OverflowError)
"""What reading and writing a tar raises that is cut short, damaged or malicious, or for which there is no room."""


class LayerError(Exception):
    """A layer or an archive cannot be unpacked; the text names the entry and why."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def may_give() -> bool:
    """Whether we may give files to other users. That is CAP_CHOWN and not being root, who has it not in every container."""
    status = Path("/proc/self/status").read_text()
    return bool(int(status.partition("CapEff:")[2].split(None, 1)[0], 16) & CAP_CHOWN)


def decompressed(file: BinaryIO) -> BinaryIO:
    """What a file holds, by how it begins: gzip, bzip2, xz, else as it is. It is read from its beginning.

    Raises LayerError for what this Python was built without.
    """
    begin = file.read(10)
    file.seek(0)
    if begin.startswith(_GZIP_DEFLATED):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    try:
        if _BZIP2.match(begin):
            from bz2 import BZ2File

            return cast(BinaryIO, BZ2File(file))
        if begin.startswith(_XZ):
            from lzma import LZMAFile

            return cast(BinaryIO, LZMAFile(file))
    except ImportError as error:
        raise LayerError(f"this Python was built without {error.name}, which reads it: compress it with gzip") from None
    return file


@contextmanager
def opened(stream: Readable, what: str) -> Iterator[tarfile.TarFile]:
    """The tar in a stream. Whatever is wrong with it is raised as LayerError, which calls it `what`."""
    try:
        with tarfile.open(fileobj=cast(IO[Any], stream), mode="r|", tarinfo=_Member) as archive:
            yield archive
    except DAMAGES as error:
        raise LayerError(f"{what} cannot be unpacked: {error}") from error


class _Member(tarfile.TarInfo):
    """tarfile takes a damaged header behind the first one for the end of the tar, as if what follows had never been there."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"damaged at byte {tarfile_.offset}: {error}") from None


class Directories:
    """Modes and times that directories get last: their content needs the one and changes the other."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, float | None]] = {}

    def note(self, path: Path, mode: int, mtime: float | None = None) -> None:
        self._known[path] = stat.S_IMODE(mode), mtime

    def forget(self, path: Path) -> None:
        """It was removed, with all that was in it."""
        self._known = {each: known for each, known in self._known.items() if not each.is_relative_to(path)}

    def finish(self) -> None:
        for path, (mode, mtime) in sorted(self._known.items(), key=lambda item: len(item[0].parts), reverse=True):
            path.chmod(mode)
            if mtime is not None:
                os.utime(path, (mtime, mtime))


class Unpacking(ABC):
    """One tar. Its entries are put one by one; `directories` is finished by who made it."""

    def __init__(self, archive: tarfile.TarFile, directories: Directories) -> None:
        self._archive, self._directories = archive, directories
        self._owners = may_give()  # who may not owns everything and is root inside
        self._folders: dict[str, Path] = {}
        """Directories known to be ours; asking for each entry takes a third of the time."""

    @abstractmethod
    def folder(self, name: str, parts: Sequence[str]) -> Path:
        """The directory that an entry `name` lies in, `parts` in the tar. Raises LayerError for a way through a link."""

    @abstractmethod
    def take(self, member: tarfile.TarInfo) -> None:
        """Put one entry. Raises LayerError, OSError."""

    def take_all(self) -> None:
        for member in self._archive:
            self.take(member)

    def changed(self) -> None:
        """A directory is new or gone, so what is known of directories may be wrong: it may have been a link before."""
        self._folders.clear()

    def place(self, name: str) -> Path | None:
        """Where an entry goes; None for the root itself. Raises LayerError for a way out."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise LayerError(f"entry {name!r} leads outside")
        if len(parts) > DEPTH_MAX:
            raise LayerError(f"entry {name[:100]!r}… lies in more than {DEPTH_MAX} directories")
        if not parts:
            return None
        key = "/".join(parts[:-1])
        folder = self._folders.get(key)
        if folder is None:
            folder = self.folder(name, parts[:-1])
            if folder.is_dir():
                self._folders[key] = folder
        return folder / parts[-1]

    def put(self, path: Path, member: tarfile.TarInfo) -> None:
        """A later entry replaces an earlier one; a directory with all that was in it, unless it is a directory again."""
        if member.isdir():
            self._directory(path, member)
            return
        if not (member.isfile() or member.issym() or member.islnk() or member.isfifo()):
            return  # device nodes: /dev of a container is made for it, and no ordinary user could make them
        source = self.place(member.linkname) if member.islnk() else None
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
        if path.is_symlink() or not path.is_dir():
            if os.path.lexists(path):
                hides = is_whiteout(path.lstat())
                path.unlink()
            path.mkdir()
            self.changed()
        path.chmod(0o700)
        if hides:
            os.setxattr(path, OPAQUE_ATTRIBUTE, b"y")
        self._own(path, member)
        _attributes(path, member)
        self._directories.note(path, member.mode, member.mtime)

    def _clear(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            self._directories.forget(path)
            self.changed()
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
