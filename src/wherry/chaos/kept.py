"""Where faults are kept: in a directory of a running system, one file each, or in memory beside a control plane in a test.

The directory is `STATE/run/chaos`, its owner's only. A file is replaced as a whole, so whoever reads never sees half of one.
"""

from __future__ import annotations

import json
import os
import random
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wherry.aio.clock import Clock
from wherry.chaos.faults import LEASE_SECONDS, Fault
from wherry.chaos.filler import FULL

LOOK_SECONDS = 0.1
"""How often a directory is looked at, at most; a look is a list of names."""
FAULTS_MAX = 100
"""At a time: each is compared with every request."""
_Sight = tuple[int | tuple[str, int], ...]


class _Dice:
    """Draws the chances of each fault from its own seed."""

    def __init__(self) -> None:
        self._chances: dict[str, random.Random] = {}

    def takes(self, fault: Fault) -> bool:
        if fault.share >= 1:
            return True
        chance = self._chances.setdefault(fault.name, random.Random(fault.seed))
        return chance.random() < fault.share


class MemoryFaults(_Dice):
    """They hold until they are removed: whoever wants them lives in the same process."""

    def __init__(self) -> None:
        super().__init__()
        self._faults: dict[str, Fault] = {}

    def add(self, fault: Fault) -> None:
        self._faults[fault.name] = fault

    def remove(self, fault: Fault) -> None:
        """Once or more often."""
        self._faults.pop(fault.name, None)

    def list(self) -> list[Fault]:
        return list(self._faults.values())

    def active(self, kind: str) -> tuple[Fault, ...]:
        if not self._faults:
            return ()
        return tuple(each for each in self._faults.values() if each.kind == kind)


class FaultFolder(_Dice):
    """As `faults.Faults` for a component of a running system."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__()
        self._path = path
        self._clock = clock
        self._look_at = float("-inf")
        self._seen: _Sight = ()
        self._faults: tuple[Fault, ...] = ()

    def active(self, kind: str) -> tuple[Fault, ...]:
        if self._clock.monotonic() >= self._look_at:
            self._look()
        if not self._faults:
            return ()
        now = self._clock.time()
        return tuple(each for each in self._faults if each.kind == kind and each.holds(now))

    def _look(self) -> None:
        self._look_at = self._clock.monotonic() + LOOK_SECONDS
        seen = _sight(self._path)
        if seen != self._seen:
            self._seen, self._faults = seen, tuple(listed(self._path))


def _sight(path: Path) -> _Sight:
    """Differs when a directory has changed. Its time alone may not: before Linux 6.13 that moves by milliseconds; which file has
    a name does, as one is written beside the one that it replaces."""
    try:
        with os.scandir(path) as entries:
            return (os.stat(path).st_mtime_ns, *sorted((each.name, each.inode()) for each in entries))
    except OSError:
        return ()


def listed(path: Path) -> list[Fault]:
    """Those in a directory, whether they still hold or not; what is no fault is passed over."""
    return list(_readable(sorted(path.glob("*.json"))[:FAULTS_MAX]))


def _readable(files: Iterable[Path]) -> Iterable[Fault]:
    for each in files:
        try:
            yield Fault(**json.loads(each.read_text()))
        except (OSError, ValueError, TypeError):
            continue  # it has just ended, or is not ours


def renew(path: Path, fault: Fault, now: float) -> None:
    """Let a fault hold for one more lease. Raises OSError."""
    path.mkdir(mode=0o700, exist_ok=True)
    written: dict[str, Any] = {**fault.written(), "until": now + LEASE_SECONDS}
    temporary, file = path / f".{fault.name}.new", path / f"{fault.name}.json"
    text = json.dumps(written)
    try:
        temporary.write_text(text)
    except OSError as error:
        if error.errno not in FULL or not file.exists():
            raise
        temporary.unlink(missing_ok=True)
        _write_over(file, text)
        return
    temporary.rename(file)


def _write_over(file: Path, text: str) -> None:
    """On a full disk, perhaps one that a fault made full: in place, which takes no room. Whoever looks sees by the directory that
    there is something new."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, text.encode().ljust(os.fstat(descriptor).st_size), 0)
    finally:
        os.close(descriptor)
    os.utime(file.parent)


def end(path: Path, fault: Fault) -> None:
    """Once or more often."""
    (path / f"{fault.name}.json").unlink(missing_ok=True)


def new_name(kind: str) -> str:
    """Of a fault: its kind and what tells it from others."""
    return f"{kind}-{secrets.token_hex(3)}"
