"""COPY and ADD: put files into the directory that becomes a layer, the way Docker's reference describes the destination.

A directory in a layer replaces the mode and owner of the one below it, so parents that exist already keep theirs.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wherry.builder.context import BuildContext
from wherry.builder.view import View


@dataclass(frozen=True, slots=True)
class Source:
    """One source: `files` below it with their relative names when it is a directory, parents first."""

    name: str
    path: Path
    files: tuple[tuple[str, Path], ...] = ()

    @property
    def is_directory(self) -> bool:
        return self.path.is_dir() and not self.path.is_symlink()


@dataclass(frozen=True, slots=True)
class Ownership:
    """Of what is copied; only root can give files to others, an ordinary user's are root's inside."""

    uid: int = 0
    gid: int = 0
    mode: int | None = None


def from_context(context: BuildContext, patterns: Iterable[str]) -> list[Source]:
    """Raises ContextError."""
    found = []
    for pattern in patterns:
        for name in context.sources(pattern):
            path = context.folder / name
            is_directory = path.is_dir() and not path.is_symlink()
            found.append(Source(path.name, path, tuple(context.walk(name)) if is_directory else ()))
    return found


def from_view(view: View, patterns: Iterable[str]) -> Iterator[Source]:
    """Of another stage or image. Raises FileNotFoundError naming the path."""
    for pattern in patterns:
        path = view.resolve(PurePosixPath("/") / pattern)
        real = view.find(path)
        if real is None:
            raise FileNotFoundError(pattern)
        below = view.walk(path) if real.is_dir() else ()
        yield Source(path.name, real, tuple((str(item.relative_to(path)), at) for item, at in below))


def lay_out(tree: Path, view: View, sources: list[Source], destination: str, workdir: str, owner: Ownership) -> None:
    """Write `sources` into `tree`, which is the layer's root. Raises ValueError for a destination that cannot be."""
    target = PurePosixPath(workdir) / destination
    is_folder = destination.endswith(("/", "/.")) or destination == "." or view.is_directory(target)
    if len(sources) > 1 and not is_folder:
        raise ValueError("with more than one source the destination must be a directory and end with a /")
    target = view.resolve(target)
    for source in sources:
        if source.is_directory:
            _directories(tree, view, target, owner)
            for name, file in source.files:
                _put(tree, view, target / name, file, owner)
        else:
            place = target / source.name if is_folder else target
            _directories(tree, view, place.parent, owner)
            _put(tree, view, place, source.path, owner)


def make_directory(tree: Path, view: View, path: str, owner: Ownership) -> bool:
    """WORKDIR: whether it had to be made."""
    target = PurePosixPath(path)
    if view.is_directory(target):
        return False
    _directories(tree, view, view.resolve(target), owner)
    return True


def _directories(tree: Path, view: View, path: PurePosixPath, owner: Ownership) -> None:
    """The directory and its parents: as below where they exist, else new and the owner's."""
    for parent in [*reversed(path.parents), path]:
        place = tree / parent.relative_to("/")
        if place.exists():
            continue
        place.mkdir()
        below = view.find(parent)
        if below is not None and below.is_dir():
            status = below.stat()
            place.chmod(stat.S_IMODE(status.st_mode))
            _give(place, status.st_uid, status.st_gid)
        else:
            place.chmod(0o755)
            _give(place, owner.uid, owner.gid)


def _put(tree: Path, view: View, path: PurePosixPath, file: Path, owner: Ownership) -> None:
    place, status = tree / path.relative_to("/"), file.lstat()
    if stat.S_ISDIR(status.st_mode):
        _directories(tree, view, path, owner)
        place.chmod(owner.mode if owner.mode is not None else stat.S_IMODE(status.st_mode))
        return
    if place.is_symlink() or place.exists():
        place.unlink()
    if stat.S_ISLNK(status.st_mode):
        place.symlink_to(os.readlink(file))
        _give(place, owner.uid, owner.gid)
    elif stat.S_ISREG(status.st_mode):
        shutil.copyfile(file, place)
        place.chmod(owner.mode if owner.mode is not None else stat.S_IMODE(status.st_mode))
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
        _give(place, owner.uid, owner.gid)


def _give(place: Path, uid: int, gid: int) -> None:
    if os.geteuid() == 0:
        os.chown(place, uid, gid, follow_symlinks=False)
