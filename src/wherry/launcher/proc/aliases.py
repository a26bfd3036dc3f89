"""Directories of the machine that are links, such as /bin and /var/run: what lies in them has two names.

A container may write by the one and read by the other, and both are in its layer, or promised, by the name without links. Found
out once per directory: whoever changes such links of the machine starts Wherry again.
"""

from __future__ import annotations

import os
from functools import cache, lru_cache

from wherry.launcher.proc.paths import KERNELS, normal, top

DEPTH_MAX = 64
"""Names from the top that may be links: to look at each of a very long path takes milliseconds, and others wait meanwhile."""


def real(path: bytes) -> bytes:
    """An absolute path with no link but, maybe, what it names itself."""
    clean = normal(path)
    at = clean.rfind(b"/")
    if at == 0 or top(clean) in KERNELS:
        return clean
    real_folder = folder(clean[:at])
    return clean if top(real_folder) in KERNELS else real_folder.rstrip(b"/") + clean[at:]


@lru_cache(maxsize=1024)
def folder(path: bytes) -> bytes:
    """A directory's path with no link at all, as far as links of the machine lie."""
    words = path.split(b"/", DEPTH_MAX + 1)
    return b"/".join((os.path.realpath(b"/".join(words[: DEPTH_MAX + 1])), *words[DEPTH_MAX + 1 :]))


@cache
def real_tops() -> dict[bytes, bytes]:
    """First names that are links, and the first names of what they lead to."""
    with os.scandir(b"/") as entries:
        return {entry.name: top(os.path.realpath(entry.path)) for entry in entries if entry.is_symlink()}
