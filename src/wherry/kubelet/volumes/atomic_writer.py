"""A directory of files that changes all at once, as kubelet's volumes do.

    volume/key            -> ..data/key            what the application opens
    volume/..data         -> ..2026_11_21_08_00_00.1234567890
    volume/..2026_…/key                            the files of one version

Readers see either all of the old version or all of the new: only `..data` is ever replaced, by rename(2).
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from msgspec import Struct

DATA = "..data"
DATA_NEW = "..data_tmp"


class File(Struct, frozen=True):
    data: bytes
    mode: int


class BadPath(Exception):
    """A path leads out of the volume."""


def check_path(path: str) -> None:
    """Relative, no `..`, not beginning with `..`. Raises BadPath."""
    parts = PurePosixPath(path).parts
    if not path or path.startswith(("/", "..")) or ".." in parts:
        raise BadPath(f"invalid path: {path}")


def write(directory: Path, payload: Mapping[str, File], now: float, rng: random.Random) -> bool:
    """Make `directory` hold exactly `payload` (paths relative to it); False when it already did."""
    for path in payload:
        check_path(path)
    directory.mkdir(parents=True, exist_ok=True)
    current = directory / DATA
    old = Path(os.readlink(current)).name if current.is_symlink() else ""
    if old and _holds(directory / old, payload):
        return False
    stamp = datetime.fromtimestamp(now, UTC).strftime("..%Y_%m_%d_%H_%M_%S")
    version = directory / f"{stamp}.{rng.randrange(10**9, 10**10)}"
    version.mkdir(mode=0o755)
    version.chmod(0o755)  # whatever our umask: every user of the container reads it
    for path, file in payload.items():
        _write_file(version, path, file)
    tops = {PurePosixPath(path).parts[0] for path in payload}
    for name in tops:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")
    new = directory / DATA_NEW
    new.unlink(missing_ok=True)
    new.symlink_to(version.name)
    new.rename(current)
    for entry in directory.iterdir():
        if entry.is_symlink() and entry.name not in tops and entry.name != DATA:
            entry.unlink()
    if old:
        shutil.rmtree(directory / old, ignore_errors=True)
    return True


def _write_file(version: Path, path: str, file: File) -> None:
    target = version / path
    if target.parent != version:
        target.parent.mkdir(parents=True, exist_ok=True)
        for parent in target.relative_to(version).parents:
            (version / parent).chmod(0o755)
    target.write_bytes(file.data)
    target.chmod(file.mode)


def _holds(version: Path, payload: Mapping[str, File]) -> bool:
    found = {
        str(path.relative_to(version)): path for path in version.rglob("*") if path.is_file() and not path.is_symlink()
    }
    if found.keys() != payload.keys():
        return False
    return all(
        found[name].read_bytes() == file.data and found[name].stat().st_mode & 0o777 == file.mode & 0o777
        for name, file in payload.items()
    )
