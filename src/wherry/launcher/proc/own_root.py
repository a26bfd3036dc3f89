"""The files of a container whose image has a root file system of its own: one promise for `/`, and its volumes in there.

Is not: how a path is found in there, which guest.py and reach.py know. Always true: nothing here follows a link of the image out
of the image; the machine's /proc, /sys and /dev are the container's too.
"""

from __future__ import annotations

import os
import stat

from wherry.launcher.proc import image_files
from wherry.launcher.proc.paths import KERNELS, PROGRAMS, ROOT, Promise, parents, plan, top
from wherry.launcher.proc.reach import LINKS_MAX, make_directories
from wherry.launcher.protocol import LauncherError
from wherry.launcher.rootfs import Writable
from wherry.launcher.specs import ContainerSpec


def prepare(spec: ContainerSpec, writable: Writable, shared: str, mounts: list[Promise]) -> list[Promise]:
    """What is promised to it; `mounts` are the last ones at their targets. Raises LauncherError, OSError."""
    readonly, layers = spec["readonly_rootfs"], spec["rootfs"]["layers"]
    if not layers:
        raise LauncherError("CreateContainerError", f"image {spec['image']} has neither layers nor the machine's root")
    real = os.fsencode(os.path.realpath(writable.directory))
    if readonly:
        root = os.fsencode(os.path.realpath(image_files.merged(layers, shared, host=False)))
    else:
        os.makedirs(writable.upper, exist_ok=True)
        image_files.put(layers, writable.upper, shared, host=False)
        root = os.fsencode(os.path.realpath(writable.upper))
    programs = real + b"/programs"
    os.makedirs(programs, exist_ok=True)
    if not readonly:
        for each in mounts:
            _make_place(root, each)
        make_directories(root, inside(root, os.path.normpath(b"/" + os.fsencode(spec["cwd"]))))
    found = [*mounts, *(at for each in mounts if (at := _final(root, each)) is not None)]
    skeleton = real + b"/skeleton"
    exists = {parent: _real(root, parent) for each in found for parent in parents(each.target)}
    promises, made = plan(found, skeleton, exists)
    for target in made:
        os.makedirs(skeleton + target, exist_ok=True)
    return [*promises, Promise(ROOT, root, readonly), Promise(PROGRAMS, programs, readonly=True)]


def inside(root: bytes, path: bytes) -> bytes:
    """A path of the container without any link, as far as the image has such a thing. For before anybody else may change it.

    Raises LauncherError for links without an end."""
    words, found, links = [word for word in path.split(b"/") if word][::-1], b"", 0
    while words:
        word = words.pop()
        if word == b".":
            continue
        if word == b"..":
            found = found[: found.rfind(b"/")] if found else b""
            continue
        try:
            text = os.readlink(root + found + b"/" + word)
        except OSError:
            found += b"/" + word
            continue
        links += 1
        if links > LINKS_MAX:
            raise LauncherError("CreateContainerError", f"{os.fsdecode(path)}: too many links in the image")
        found = b"" if text.startswith(b"/") else found
        words += [each for each in text.split(b"/") if each][::-1]
    return found or b"/"


def _real(root: bytes, parent: bytes) -> bytes | None:
    found = inside(root, parent)
    return found if os.path.isdir(root + found) or top(found) in KERNELS else None


def _final(root: bytes, mount: Promise) -> Promise | None:
    """The same at what its target leads to, where that is a link of the image."""
    target = inside(root, mount.target)
    return None if target == mount.target else Promise(target, mount.source, mount.readonly)


def _make_place(root: bytes, mount: Promise) -> None:
    """As a mount would need it, so that it is listed."""
    target = inside(root, mount.target)
    if os.path.lexists(root + target) or top(target) in KERNELS:
        return
    if stat.S_ISDIR(os.stat(mount.source).st_mode):
        make_directories(root, target)
        return
    make_directories(root, os.path.dirname(target))
    os.close(os.open(root + target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644))
