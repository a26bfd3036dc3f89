"""COPY and ADD: put files into the directory that becomes a layer, the way Docker's reference describes the destination.

A directory in a layer replaces the mode and owner of the one below it, so parents that exist already keep theirs.
Links of the image below are followed inside it; links among what is copied are never followed: nothing lands elsewhere.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from msgspec import Struct

from wherry.builder import archives
from wherry.builder.context import BuildContext
from wherry.builder.view import ROOT, View
from wherry.images.unpacking import Directories, may_give


class Source(Struct, frozen=True):
    """One source: `files` below it with their relative names when it is a directory, parents first."""

    name: str
    path: Path
    files: tuple[tuple[str, Path], ...] = ()


class Ownership(Struct, frozen=True):
    """Of what is copied; who may not give files to others (CAP_CHOWN) owns them, and they are root's inside."""

    uid: int = 0
    gid: int = 0
    mode: int | None = None
    chosen: bool = False
    """Somebody said whose it is; else what comes out of an archive keeps its owners."""


def from_context(context: BuildContext, names: Iterable[str]) -> list[Source]:
    """`names` as `BuildContext.sources` gives them."""
    found = []
    for name in names:
        path = context.real(name)
        found.append(Source(PurePosixPath(name).name, path, tuple(context.walk(name)) if path.is_dir() else ()))
    return found


def from_view(view: View, patterns: Iterable[str]) -> list[Source]:
    """Of another stage or image. Raises FileNotFoundError naming the path."""
    found = []
    for pattern in patterns:
        path = view.resolve(ROOT / pattern)
        real = view.find(path)
        if real is None:
            raise FileNotFoundError(pattern)
        below = view.walk(path) if real.is_dir() else ()
        files = tuple((str(item.relative_to(path)), at) for item, at in below)
        found.append(Source(PurePosixPath(pattern).name, real, files))
    return found


class Layout:
    """Writes sources into `tree`, the root of a new layer on top of `view`. Raises ValueError for what cannot be."""

    def __init__(self, tree: Path, view: View, owner: Ownership) -> None:
        self._tree, self._view, self._owner = tree, view.below(tree), owner
        self._places: dict[PurePosixPath, Path] = {}
        self._may_give = may_give()
        self.directories = Directories()

    def copy(self, sources: list[Source], destination: str, workdir: str, *, unpack: bool = False) -> None:
        """As COPY: into a directory when the destination ends with a slash or is one, else under its name.

        With `unpack` as ADD: what is in an archive, into the destination as a directory. Raises LayerError too, then.
        """
        target = PurePosixPath(workdir) / destination
        is_folder = destination.endswith(("/", "/.", "/..")) or destination in (".", "..")
        is_folder = is_folder or self._view.is_directory(target)
        if len(sources) > 1 and not is_folder:
            raise ValueError("with more than one source the destination must be a directory and end with a /")
        target = self._view.resolve(target)
        for source in sources:
            if source.path.is_dir():
                self.directory(target)
                for name, file in source.files:
                    self._put(target / name, file)
            elif unpack and archives.is_archive(source.path):
                self.directory(target)
                archives.unpack(source.path, self, target, self._owned)
            else:
                self._put(target / source.name if is_folder else target, source.path)
        self.directories.finish()

    def make(self, path: PurePosixPath) -> None:
        """As WORKDIR: the directory, empty."""
        self.directory(path)
        self.directories.finish()

    def directory(self, path: PurePosixPath) -> Path:
        """Make the directory and its parents: as below where they exist, else new and the owner's. Where it lies.

        The image's own links are followed, as /lib may be one to /usr/lib. Modes of directories come last, as their content
        needs us to be let in.
        """
        place = self._places.get(path)
        if place is None:
            place = self._places[path] = self._made(self._view.resolve(path))
        return place

    def changed(self) -> None:
        """A directory of the layer came or went, perhaps in the place of a link."""
        self._places.clear()

    def _made(self, path: PurePosixPath) -> Path:
        if path == ROOT:
            return self._tree
        place = self._made(path.parent) / path.name
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise ValueError(f"cannot copy to non-directory: {path}")
        if place.is_dir():
            return place
        below = self._view.find(path)
        place.mkdir()
        place.chmod(0o700)
        if below is not None and below.is_dir():
            status = below.stat()
            self._give(place, status.st_uid, status.st_gid)
            self.directories.note(place, status.st_mode)
        else:
            self._give(place, self._owner.uid, self._owner.gid)
            self.directories.note(place, 0o755)
        return place

    def _owned(self, member: tarfile.TarInfo) -> None:
        """An archive's entry as `--chown` and `--chmod` want it."""
        if self._owner.chosen:
            member.uid, member.gid = self._owner.uid, self._owner.gid
        if self._owner.mode is not None:
            member.mode = self._owner.mode

    def _put(self, path: PurePosixPath, file: Path) -> None:
        status = file.lstat()
        if stat.S_ISDIR(status.st_mode):
            self.directories.note(self.directory(path), self._mode(status))
            return
        place = self.directory(path.parent) / path.name
        if place.is_dir() and not place.is_symlink():
            raise ValueError(f"cannot replace the directory {path} with a file")
        place.unlink(missing_ok=True)
        if stat.S_ISLNK(status.st_mode):
            place.symlink_to(os.readlink(file))
            self._give(place, self._owner.uid, self._owner.gid)
        elif stat.S_ISREG(status.st_mode):
            shutil.copyfile(file, place)
            self._give(place, self._owner.uid, self._owner.gid)
            place.chmod(self._mode(status))
            os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _give(self, place: Path, uid: int, gid: int) -> None:
        if self._may_give:
            os.chown(place, uid, gid, follow_symlinks=False)

    def _mode(self, status: os.stat_result) -> int:
        return self._owner.mode if self._owner.mode is not None else stat.S_IMODE(status.st_mode)
