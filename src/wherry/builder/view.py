"""What a path is in an image that is being built: its layers on top of each other, below them perhaps the machine.

Read-only. Symbolic links are followed inside the image: an absolute link starts again at the image's root.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from wherry.images.layers import OPAQUE_ATTRIBUTE
from wherry.images.rootfs import RootFS
from wherry.launcher.whiteouts import is_whiteout

ROOT = PurePosixPath("/")
LINKS_MAX = 40  # as the kernel: more is a loop
MACHINE = Path("/")
HIDDEN = ("/root", "/home", "/run", "/tmp", "/boot", "/proc", "/sys", "/dev", "/var/log", "/var/tmp")
"""Directories of the machine that containers see empty (launcher/host_view.py): an image must not count on what is there."""


class View:
    """`PurePosixPath`s are absolute paths in the image, `Path`s are where they lie on the machine."""

    def __init__(self, rootfs: RootFS) -> None:
        self._trees = [*rootfs.layers, *([MACHINE] if rootfs.host else [])]
        self._unfollowed: Path | None = None
        self._straight: dict[Path, bool] = {}
        """Of directories of the trees: whether their own path has no link in it."""

    def below(self, layer: Path) -> View:
        """This image with a layer on top that is being written; links of that one are not followed."""
        found = View(RootFS())
        found._trees = [layer, *self._trees]
        found._unfollowed = layer
        return found

    def find(self, path: PurePosixPath) -> Path | None:
        """Where `path` itself lies (a link is not followed); None when it is not there."""
        for tree in self._trees:
            if tree is MACHINE and _hidden(path):
                return None
            real = tree / path.relative_to(ROOT)
            try:
                status = real.lstat()
            except OSError:
                if _covers(tree, path):
                    return None
                continue
            if is_whiteout(status) or not self._is_straight(tree, path.parent):
                return None
            return real
        return None

    def _is_straight(self, tree: Path, folder: PurePosixPath) -> bool:
        """Whether `folder` is a directory of this tree itself: a link there may have been replaced by a layer above."""
        if folder == ROOT:
            return True
        real = tree / folder.relative_to(ROOT)
        if tree == self._unfollowed:  # which changes
            return not real.is_symlink() and self._is_straight(tree, folder.parent)
        if real not in self._straight:
            self._straight[real] = not real.is_symlink() and self._is_straight(tree, folder.parent)
        return self._straight[real]

    def resolve(self, path: PurePosixPath) -> PurePosixPath:
        """`path` with every link in it followed; parts that are not there stay as they are."""
        done, rest, links = ROOT, list(path.parts[1:]), 0
        while rest:
            part = rest.pop(0)
            if part == "..":
                done = done.parent
                continue
            real = self.find(done / part)
            if real is not None and real.is_symlink() and links < LINKS_MAX and self._follows(real):
                links += 1
                target = PurePosixPath(os.readlink(real))
                done = ROOT if target.is_absolute() else done
                rest = [item for item in target.parts if item != "/"] + rest
            else:
                done = done / part
        return done

    def _follows(self, link: Path) -> bool:
        return self._unfollowed is None or not link.is_relative_to(self._unfollowed)

    def is_directory(self, path: PurePosixPath) -> bool:
        """Also through links."""
        real = self.find(self.resolve(path))
        return real is not None and real.is_dir()

    def children(self, path: PurePosixPath) -> list[str]:
        """Names in a directory, all layers together, sorted."""
        names: set[str] = set()
        hidden: set[str] = set()
        for tree in self._trees:
            if tree is MACHINE and _hidden(path / "x"):
                break
            folder = tree / path.relative_to(ROOT)
            if folder.is_dir() and not folder.is_symlink():
                for entry in os.scandir(folder):
                    if is_whiteout(entry.stat(follow_symlinks=False)):
                        hidden.add(entry.name)
                    elif entry.name not in hidden:
                        names.add(entry.name)
            if _covers(tree, path / "x"):
                break
        return sorted(names)

    def walk(self, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, Path]]:
        """Everything below a directory, parents first; links are not followed."""
        for name in self.children(path):
            child = path / name
            real = self.find(child)
            if real is None:
                continue
            yield child, real
            if stat.S_ISDIR(real.lstat().st_mode):
                yield from self.walk(child)

    def read_text(self, path: str) -> str:
        """A small file; empty when it is not there."""
        real = self.find(self.resolve(PurePosixPath(path)))
        return real.read_text(errors="replace") if real is not None and real.is_file() else ""


def _hidden(path: PurePosixPath) -> bool:
    """Whether the machine's own `path` is not there for containers; the hidden directories themselves are, empty."""
    text = str(path)
    return any(text.startswith(f"{folder}/") for folder in (*HIDDEN, os.path.realpath(Path.home())))


def _covers(tree: Path, path: PurePosixPath) -> bool:
    """Whether this layer hides `path` in the layers below: a parent is opaque, deleted or not a directory."""
    place = tree
    for part in path.parts[1:-1]:
        place = place / part
        try:
            status = place.lstat()
        except OSError:
            return False
        if not stat.S_ISDIR(status.st_mode):
            return True
        try:
            if os.getxattr(place, OPAQUE_ATTRIBUTE) == b"y":
                return True
        except OSError:
            continue
    return False
