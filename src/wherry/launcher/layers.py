"""A container's writable layer as an OCI layer tar (image-spec, layer.md).

Runs as our user 0 (jobs.py): subordinate users and modes like 000 keep the machine's own user out. Imported only by the
fork that archives, because of what tarfile imports.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator

from wherry.launcher.overlays import OPAQUE
from wherry.launcher.reading import open_own
from wherry.launcher.whiteouts import is_whiteout

WHITEOUT_PREFIX = ".wh."
OPAQUE_WHITEOUT = ".wh..wh..opq"


def archive(upper: str, output: int) -> None:
    """Write the overlay's writable layer `upper` to the descriptor `output` as an uncompressed OCI layer tar.

    Sorted by path, owners by number as containers see them, whiteouts as `.wh.` files, file capabilities kept.
    """
    with (
        os.fdopen(os.dup(output), "wb") as file,
        tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path, name in _walk(upper, ""):
            _add(tar, path, name)


def _walk(directory: str, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(os.listdir(directory)):
        path, name = f"{directory}/{entry}", f"{prefix}{entry}"
        yield path, name
        if stat.S_ISDIR(os.lstat(path).st_mode):
            yield from _walk(path, name + "/")


def _add(tar: tarfile.TarFile, path: str, name: str) -> None:
    found = os.lstat(path)
    if is_whiteout(found):
        head, _, tail = name.rpartition("/")
        tar.addfile(tarfile.TarInfo(f"{head}/{WHITEOUT_PREFIX}{tail}" if head else WHITEOUT_PREFIX + tail))
        return
    if stat.S_ISSOCK(found.st_mode):
        return
    info = tar.gettarinfo(path, name)
    info.uname = info.gname = ""
    capability = _attribute(path, "security.capability")
    if capability is not None:
        info.pax_headers = {"SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape")}
    if info.isreg():
        with os.fdopen(open_own(path), "rb") as content:
            tar.addfile(info, content)
    else:
        tar.addfile(info)
    if info.isdir() and _attribute(path, OPAQUE) == b"y":
        tar.addfile(tarfile.TarInfo(f"{name}/{OPAQUE_WHITEOUT}"))


def _attribute(path: str, name: str) -> bytes | None:
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return None
