"""The root file system of one container, assembled at a staging directory of its own mount namespace.

`overlay` names its directories by descriptor (/proc/self/fd/N): no length limit, no escaping of commas and colons.
`volatile` spares the sync of the writable layer at unmount, 8-15 ms.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from wherry.launcher.host_view import OPAQUE, HostView
from wherry.launcher.mounts import (
    ATTR_NODEV,
    ATTR_NOSUID,
    ATTR_RDONLY,
    MS_NODEV,
    attach,
    mount,
    open_tree,
    set_attributes,
)
from wherry.launcher.specs import RootFSSpec
from wherry.launcher.syscalls import SyscallError

GRAFT_DEPTH_MAX = 2  # deeper than this, machine directories with mounts below are shown read-only


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
    """Mount everything under `root`; the mount points made, the root first. Raises SyscallError."""
    for path in (writable.directory, writable.upper, writable.work, f"{writable.work}/root"):
        _make(path)
    layers = rootfs["layers"]
    if not rootfs["host"]:
        overlay(root, [*layers, view.image_skeleton], writable.upper, f"{writable.work}/root")
        return [root]
    overlay(root, [*layers, view.skeleton], writable.upper, f"{writable.work}/root")
    _make(writable.parts)
    made = [root]
    for name in view.shared:
        _show(f"/{name}", root, layers, writable, view, made, depth=1)
    for path in view.interpreter:
        tree = _open_readonly(path)
        try:
            attach(tree, root + path)
        finally:
            os.close(tree)
    return made


def _show(
    path: str, root: str, layers: Sequence[str], writable: Writable, view: HostView, made: list[str], *, depth: int
) -> None:
    """Put the machine's directory `path` under the image's layers at the same place of the container."""
    below, machine = _lowers(path, layers)
    if not machine:
        return
    target = root + path
    if path not in view.split:
        skeleton = view.skeleton + path
        if os.path.isdir(skeleton):
            below.append(skeleton)
        if OPAQUE in _attributes(skeleton):
            return
        name = path.strip("/").replace("/", "\\")
        upper, work = f"{writable.parts}/{name}", f"{writable.work}/{name}"
        _make(upper, like=below[0] if below else path)
        _make(work)
        _make_target(target, path)
        overlay(target, [*below, path], upper, work)
        made.append(target)
        return
    for name in sorted(os.listdir(path)):
        _graft(f"{path}/{name}", root, layers, writable, view, made, depth=depth + 1)


def _graft(
    path: str, root: str, layers: Sequence[str], writable: Writable, view: HostView, made: list[str], *, depth: int
) -> None:
    """One child of a directory that cannot be overlaid as a whole because something is mounted below it."""
    target = root + path
    if OPAQUE in _attributes(view.skeleton + path) or not os.access(path, os.R_OK):
        return
    if os.path.islink(path):
        if not os.path.lexists(target):
            os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path) and depth <= GRAFT_DEPTH_MAX and (path not in view.split or _lowers(path, layers)[0]):
        _show(path, root, layers, writable, view, made, depth=depth)
        return
    if os.path.lexists(target) and not os.path.isdir(target):
        return  # an image's own file
    tree = _open_readonly(path)
    try:
        _make_target(target, path)
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
        if OPAQUE in _attributes(candidate):
            return found, False
    return found, True


def _attributes(path: str) -> Sequence[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ()


def _open_readonly(path: str) -> int:
    tree = open_tree(path)
    try:
        set_attributes(tree, ATTR_RDONLY | ATTR_NODEV | ATTR_NOSUID, what=path)
    except BaseException:
        os.close(tree)
        raise
    return tree


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


def _make_target(target: str, source: str) -> None:
    if os.path.lexists(target):
        return
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def overlay(target: str, lowers: Sequence[str], upper: str, work: str) -> None:
    """Mount an overlay of `lowers` (topmost first) with a writable layer at `target`."""
    fds: list[int] = []
    try:
        fds.extend(map(_open_directory, (*lowers, upper, work)))
        names = [f"/proc/self/fd/{fd}" for fd in fds]
        data = f"lowerdir={':'.join(names[:-2])},upperdir={names[-2]},workdir={names[-1]},userxattr,volatile"
        try:
            mount("overlay", target, "overlay", MS_NODEV, data)
        except SyscallError as error:
            raise SyscallError(
                error.errno or 0, "mount", f"overlay of {':'.join(lowers)} with {upper} on {target}"
            ) from error
    finally:
        for fd in fds:
            os.close(fd)


def _open_directory(path: str) -> int:
    try:
        return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SyscallError(error.errno or 0, "open", path) from error


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
            if os.path.isdir(target):
                os.rmdir(target)  # a mount point made by us
            os.rename(part, target)
    shutil.rmtree(writable.parts, ignore_errors=True)
