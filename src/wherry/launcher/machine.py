"""The launcher's own small file system, and the machine as host containers see it, mounted once for all of them.

Everything lies on a tmpfs over `<state>/launcher` that only the node's mount namespace has. Merging skeleton and machine
here has a second reason besides speed: overlayfs refuses two lower directories of which one lies inside the other (ELOOP),
and root's state, with every image layer in it, lies in /var. A merged part is a file system of its own, so nothing lies
inside it.
"""

from __future__ import annotations

import dataclasses
import os
import shutil

from wherry.launcher import host_view
from wherry.launcher.host_view import HostView
from wherry.launcher.mounts import MS_NODEV, MS_NOSUID, mount, unmount
from wherry.launcher.overlays import OPAQUE, merge

TRUSTED_OPAQUE = "trusted.overlay.opaque"


def prepare(state: str, *, user_namespace: bool) -> tuple[str, HostView]:
    """(Our directory, what containers see). Needs a mount namespace of our own, already a slave. Raises SyscallError."""
    base = os.path.join(state, "launcher")
    os.makedirs(base, mode=0o700, exist_ok=True)
    opaque = OPAQUE if user_namespace else TRUSTED_OPAQUE
    _own_file_system(base, opaque)
    view = host_view.build(base, state, opaque)
    merged = os.path.join(base, "machine")
    os.mkdir(merged)
    view = dataclasses.replace(view, merged=merged)
    for path in view.parts:
        target = view.merged_part(path)
        if target != path:
            os.mkdir(target)
            merge(target, [view.skeleton + path, path], user_attributes=user_namespace)
    return base, view


def _own_file_system(base: str, opaque: str) -> None:
    """A tmpfs; where it has no user attributes (Linux before 6.6) a directory of the disk, made anew."""
    shutil.rmtree(base, ignore_errors=True)
    os.makedirs(base, mode=0o700, exist_ok=True)
    mount("wherry", base, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    probe = os.path.join(base, "probe")
    os.mkdir(probe)
    try:
        os.setxattr(probe, opaque, b"y")
    except OSError:
        unmount(base)
    else:
        os.rmdir(probe)
