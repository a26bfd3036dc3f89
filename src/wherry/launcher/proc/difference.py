"""What a container changed of the image's files that were copied for it: makes of the copy the layer a mount would have left."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from wherry.launcher import whiteouts
from wherry.launcher.proc.image_files import is_opaque
from wherry.launcher.proc.kits import ROOTS_HOME
from wherry.launcher.whiteouts import is_whiteout

_Facts = dict[str, os.stat_result]


def reduce(layers: Sequence[str], upper: str) -> None:
    """Remove from `upper` what is as in `layers` (topmost first), and mark what is missing as removed; the home that every
    container has is none of its changes while nothing is in it. Raises OSError."""
    before: _Facts = {}
    for layer in reversed(layers):
        _merge(layer, "", before)
    _mark_removed(before, upper)
    _drop_unchanged(before, upper, "")
    if ROOTS_HOME not in before:
        with suppress(OSError):
            os.rmdir(upper + ROOTS_HOME)


def _merge(layer: str, prefix: str, into: _Facts) -> None:
    with os.scandir(layer) as entries:
        for entry in entries:
            path = f"{prefix}/{entry.name}"
            found = entry.stat(follow_symlinks=False)
            known = into.get(path)
            directory = stat.S_ISDIR(found.st_mode)
            if known is not None and not (directory and stat.S_ISDIR(known.st_mode) and not is_opaque(entry.path)):
                for below in [each for each in into if each == path or each.startswith(path + "/")]:
                    del into[below]
            if is_whiteout(found):
                continue
            into[path] = found
            if directory:
                _merge(entry.path, path, into)


def _mark_removed(before: _Facts, upper: str) -> None:
    removed: set[str] = set()
    for path in sorted(before):
        if os.path.dirname(path) in removed:
            removed.add(path)
        elif not os.path.lexists(upper + path):
            removed.add(path)
            os.makedirs(os.path.dirname(upper + path), exist_ok=True)
            whiteouts.make(upper + path)


def _drop_unchanged(before: _Facts, upper: str, prefix: str) -> None:
    for name in os.listdir(upper + prefix):
        path = f"{prefix}/{name}"
        found = os.lstat(upper + path)
        known = before.get(path)
        if stat.S_ISDIR(found.st_mode):
            _drop_unchanged(before, upper, path)
            if known is not None and stat.S_ISDIR(known.st_mode) and not os.listdir(upper + path):
                os.rmdir(upper + path)
        elif known is not None and _same(known, found):
            os.unlink(upper + path)


def _same(known: os.stat_result, found: os.stat_result) -> bool:
    """As copying left it: its time too, which a change would have moved."""
    return (known.st_mode, known.st_size, known.st_mtime_ns) == (found.st_mode, found.st_size, found.st_mtime_ns)
