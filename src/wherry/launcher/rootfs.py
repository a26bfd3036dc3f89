"""The root file system of one container, assembled at a staging directory of its own mount namespace."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from wherry.launcher.host_view import HostView, part_name
from wherry.launcher.mounts import ATTR_NODEV, ATTR_NOSUID, ATTR_RDONLY, attach, open_tree, set_attributes
from wherry.launcher.overlays import OPAQUE, overlay
from wherry.launcher.specs import RootFSSpec


@dataclass(frozen=True, slots=True)
class Writable:
    """Where one container's changes lie. `upper` is the layer; `parts` belong to the overlays below it until `gather`."""

    directory: str

    @property
    def upper(self) -> str:
        return f"{self.directory}/upper"

    @property
    def parts(self) -> str:
        return f"{self.directory}/parts"

    @property
    def work(self) -> str:
        return f"{self.directory}/work"


def assemble(root: str, rootfs: RootFSSpec, writable: Writable, view: HostView) -> list[str]:
    """Mount everything under `root`; the writable mount points made, the root first. Raises SyscallError."""
    for path in (writable.directory, writable.upper, writable.work, f"{writable.work}/root"):
        _make(path)
    layers = rootfs["layers"]
    lowest = view.skeleton if rootfs["host"] else view.image_skeleton
    overlay(root, [*layers, lowest], writable.upper, f"{writable.work}/root")
    if not rootfs["host"]:
        return [root]
    _make(writable.parts)
    shown = [root + path for path in view.parts if _show_part(path, root, layers, writable, view)]
    for path in view.binds:
        _bind(path, root)
    return [root, *shown]


def _show_part(path: str, root: str, layers: Sequence[str], writable: Writable, view: HostView) -> bool:
    """Put a part of the machine under the image's layers at the same place; False if the image hides it."""
    below, machine = _lowers(path, layers)
    if not machine or os.path.islink(root + path) or not os.path.isdir(root + path):
        return False
    lowers = [*below, view.merged_part(path)]
    upper, work = f"{writable.parts}/{part_name(path)}", f"{writable.work}/{part_name(path)}"
    _make(upper, like=lowers[0])
    _make(work)
    overlay(root + path, lowers, upper, work)
    return True


def _bind(path: str, root: str) -> None:
    """A directory or file of the machine, read-only, unless the image has put something else there."""
    target = root + path
    if os.path.islink(target) or os.path.isdir(target) != os.path.isdir(path):
        return
    tree = open_tree(path)
    try:
        set_attributes(tree, ATTR_RDONLY | ATTR_NODEV | ATTR_NOSUID, what=path)
        attach(tree, target)
    finally:
        os.close(tree)


def _lowers(path: str, layers: Sequence[str]) -> tuple[list[str], bool]:
    """The image's own directories at `path`, topmost first, and whether the machine's still shows below them."""
    found: list[str] = []
    for layer in layers:
        candidate = layer + path
        try:
            mode = os.lstat(candidate).st_mode
        except OSError:
            continue
        if not stat.S_ISDIR(mode):
            return found, False
        found.append(candidate)
        if OPAQUE in os.listxattr(candidate):
            return found, False
    return found, True


def _make(path: str, like: str = "") -> None:
    os.mkdir(path, 0o755)
    if like:
        found = os.stat(like)
        os.chmod(path, stat.S_IMODE(found.st_mode))
        if found.st_uid != os.geteuid() or found.st_gid != os.getegid():
            try:
                os.chown(path, found.st_uid, found.st_gid)
            except OSError:  # an owner without a number in our user namespace
                pass


def gather(writable: Writable) -> None:
    """After the container's end: bring the parts of a host image's writable layer together into `upper`, drop unused ones."""
    try:
        names = os.listdir(writable.parts)
    except FileNotFoundError:
        return
    for name in names:
        part = f"{writable.parts}/{name}"
        try:
            os.rmdir(part)  # nothing was written there
        except OSError:
            target = f"{writable.upper}/" + name.replace("\\", "/")
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.rename(part, target)
    shutil.rmtree(writable.parts, ignore_errors=True)
