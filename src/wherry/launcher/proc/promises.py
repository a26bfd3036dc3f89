"""The files of one container: its image's, copied, its volumes, a /tmp and a home of its own, its pod's /dev/shm; as promises for
the shim.

Is not: the machine's root, which every container sees as it is. An image's files are where the container may write them
(image_files.py); of directories that the machine has too, what lies in them is promised piece by piece.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache

from wherry.launcher.proc import aliases, image_files, kits, own_root, shared_memory
from wherry.launcher.proc.paths import Promise, parents, plan
from wherry.launcher.protocol import LauncherError
from wherry.launcher.rootfs import Writable
from wherry.launcher.specs import ContainerSpec, MountSpec
from wherry.launcher.whiteouts import is_whiteout

_PRIVATE = (b"/tmp", b"/var/tmp")
_ROOTS_HOME, _HOMES = os.fsencode(kits.ROOTS_HOME), b"/home/"
NOWHERE = b"/proc/removed"
"""Nothing is there, and nobody can make something there."""


def prepare(
    spec: ContainerSpec, writable: Writable, shared: str, memory: str = shared_memory.MACHINES, kit: str = ""
) -> list[Promise]:
    """Make the container's files; what is promised to it. In `shared` lie images, see image_files.py, `memory` is its pod's
    /dev/shm, see shared_memory.py, `kit` has directories.

    Raises LauncherError, OSError."""
    kits.place(kit, kits.CONTAINER, writable.directory)
    if not spec["rootfs"]["host"]:
        ours = Promise(os.fsencode(shared_memory.MACHINES), os.fsencode(memory))
        mounts = {each.target: each for each in (ours, *map(_mounted, spec["mounts"]))}
        return own_root.prepare(spec, writable, shared, list(mounts.values()))
    real = os.fsencode(os.path.realpath(writable.directory))
    roots, readonly = _roots(spec, writable, shared), spec["readonly_rootfs"]
    found = {each.target: each for each in map(_mounted, spec["mounts"])}  # the last of those at one path
    cwd = os.fsencode(os.path.normpath("/" + spec["cwd"]))
    if not any(os.path.isdir(root + cwd) for root in (*roots, b"")):
        os.makedirs(roots[0] + cwd)
    homes = tuple(path for path in _homes(spec) if path not in found)
    elsewhere = tuple(path + b"/" for path in (*homes, *shared_memory.names()))
    for each in (
        *(Promise(path, _home(roots, path), readonly) for path in homes),
        *(Promise(path, root + path, readonly) for root in roots for path in _pieces(root, b"", elsewhere)),
        *(Promise(path, NOWHERE, readonly=True) for path in (_removed(roots[-1], b"") if readonly else ())),
        *(Promise(path, _private(real, path), readonly) for path in _PRIVATE if path not in found),
        *_shared_memory(found, os.fsencode(memory)),
        *_own_python((*_PRIVATE, *homes)),
    ):
        found.setdefault(each.target, each)
    skeleton = real + b"/skeleton"
    exists = {parent: _real(parent) for target in found for parent in parents(target)}
    all_promises, targets_made = plan(found.values(), skeleton, exists)
    for target in targets_made:
        os.makedirs(skeleton + target, exist_ok=True)
    return all_promises


def _roots(spec: ContainerSpec, writable: Writable, shared: str) -> list[bytes]:
    """The directory of its layer, and that of its image's files where they are not in the layer."""
    os.makedirs(writable.upper, exist_ok=True)
    found, layers = [writable.upper], spec["rootfs"]["layers"]
    if layers and spec["readonly_rootfs"]:
        found.append(image_files.merged(layers, shared))
    else:
        image_files.put(layers, writable.upper, shared)
    return [os.fsencode(os.path.realpath(each)) for each in found]


def _private(real: bytes, path: bytes) -> bytes:
    own = real + b"/own" + path.replace(b"/", b"-")
    os.makedirs(own, exist_ok=True)
    os.chmod(own, 0o1777)  # noqa: S103 -- it is a /tmp
    return own


@cache
def own_python() -> list[bytes]:
    """Where the Python that runs Wherry lies, and this package; none inside another."""
    package = __file__.rsplit("/", 4)[0]
    found = sorted({os.fsencode(os.path.realpath(each)) for each in (sys.prefix, sys.base_prefix, package)})
    return [path for path in found if not any(path.startswith(other + b"/") for other in found)]


def _homes(spec: ContainerSpec) -> set[bytes]:
    """Directories that the machine's user may not even enter, and programs want to write: the container has its own."""
    own = os.path.normpath(os.fsencode(spec["env"].get("HOME") or _ROOTS_HOME))
    return {_ROOTS_HOME, own} if own.startswith(_HOMES) else {_ROOTS_HOME}


def _home(roots: list[bytes], path: bytes) -> bytes:
    """Where it really is: in the container's layer, or in its image's files, where these cannot be written."""
    image = roots[-1] + path
    if len(roots) == 1 or not os.path.isdir(image):
        image = roots[0] + path
        if not os.path.isdir(image):
            kits.place(os.fsdecode(roots[0]) + image_files.UNUSED, os.fsdecode(path), os.fsdecode(image))
    return image


def _shared_memory(mounted: Mapping[bytes, Promise], memory: bytes) -> Iterator[Promise]:
    """By each of its names, also where it is a volume."""
    first, *others = shared_memory.names()
    real = mounted.get(first) or Promise(first, memory)
    yield real
    yield from (replace(real, target=name) for name in others)


def _own_python(private: tuple[bytes, ...]) -> list[Promise]:
    """The Python that runs Wherry is reachable at its own path, as in the other tiers, also where that lies in /tmp."""
    return [
        Promise(each, each, readonly=True)
        for each in own_python()
        if each.startswith(tuple(path + b"/" for path in private))
    ]


def _mounted(mount: MountSpec) -> Promise:
    target = mount["target"]
    if mount["propagation"] == "Bidirectional":
        message = f"mount {target}: Bidirectional propagation is not supported: nothing is mounted in tier proc"
        raise LauncherError("CreateContainerError", message)
    clean = os.path.normpath("/" + target.lstrip("/"))
    if clean == "/":
        raise LauncherError("CreateContainerError", "mount /: tier proc cannot put a volume in the place of the root")
    if clean in ("/proc", "/sys", "/dev"):
        raise LauncherError("CreateContainerError", f"mount {clean}: tier proc shows the machine's own {clean}")
    return Promise(os.fsencode(clean), os.fsencode(os.path.realpath(mount["source"])), mount["readonly"])


def _real(path: bytes) -> bytes | None:
    real = aliases.folder(path)
    return real if os.path.isdir(real) else None


def _pieces(root: bytes, path: bytes, without: tuple[bytes, ...]) -> list[bytes]:
    """What of a tree the machine does not have, and what it has and is no directory in both; not what the tree removes, nor what
    begins like `without`."""
    found: list[bytes] = []
    for name in sorted(os.listdir(root + path)):
        at = path + b"/" + name
        ours = os.lstat(root + at)
        if stat.S_ISDIR(ours.st_mode) and os.path.isdir(at):
            found += _pieces(root, at, without)
        elif not is_whiteout(ours) and not at.startswith(without):
            found.append(at)
    return found


def _removed(root: bytes, path: bytes) -> list[bytes]:
    """What the machine has and the image's layers removed, see `Overlay.hide`."""
    found: list[bytes] = []
    with os.scandir(root + path) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            at = path + b"/" + entry.name
            if entry.is_dir(follow_symlinks=False):
                found += _removed(root, at) if os.path.isdir(at) else []
            elif is_whiteout(entry.stat(follow_symlinks=False)):
                found.append(at)
    return found
