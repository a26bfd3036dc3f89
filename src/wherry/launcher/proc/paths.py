"""Where the paths that a container is promised really are: volumes, files of its image, /tmp, /etc/resolv.conf. Pure.

The longest promised path that is a parent wins. A parent that the machine lacks (/var/run/secrets) is promised too, as an empty
directory with the names of what lies in it. Paths are bytes, as the kernel has them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

ROOT = b"/"
PROGRAMS = b"/proc/programs"
"""What programs that were made ready (interpreters.py) are promised as: nobody can make or name something there."""
KERNELS = frozenset((b"proc", b"sys", b"dev"))
"""First names of what is the kernel's: links lead elsewhere for each process there, and nothing is written."""


@dataclass(frozen=True, slots=True)
class Promise:
    """`target` as the container names it, `source` where it is."""

    target: bytes
    source: bytes
    readonly: bool = False


_DEV = b"/dev/"

Wire = list[tuple[str, str, bool]]
"""Promises as JSON has them: target, source, read-only."""


def pack(promises: Iterable[Promise]) -> Wire:
    return [(os.fsdecode(each.target), os.fsdecode(each.source), each.readonly) for each in promises]


def unpack(promises: Wire) -> list[Promise]:
    return [Promise(os.fsencode(target), os.fsencode(source), readonly) for target, source, readonly in promises]


class Paths:
    """`find` answers for every path that a container names, so what concerns nothing promised must be told quickly."""

    def __init__(self, promises: Iterable[Promise]) -> None:
        self._by_target = {each.target: each for each in promises}
        self.root = self._by_target.get(ROOT)
        """Of an image with a root of its own: all but /proc, /sys and /dev is promised."""
        programs = self._by_target.get(PROGRAMS)
        self.programs = programs.source if programs else None
        self.tops = {top(each) for each in self._by_target if each != ROOT}
        """First names of all that is promised."""
        self._in_dev = {each.split(b"/")[2] for each in self._by_target if each.startswith(_DEV)}
        self._names = {name for each in self._by_target for name in each.split(b"/") if name}
        self._names |= KERNELS if self.root else set()
        self._depth = max((each.count(b"/") for each in self._by_target), default=0)
        self._sources = tuple(each.source for each in self._by_target.values())
        self._by_source = sorted(self._by_target.values(), key=lambda each: -len(each.source))

    def find(self, path: bytes) -> tuple[bytes, bool] | None:
        """(Real path, read-only) of an absolute path; None: it is the machine's own."""
        found = self.look(path)
        return None if found is None else (found[0], found[1].readonly)

    def look(self, path: bytes) -> tuple[bytes, Promise] | None:
        """The real path of an absolute one, and what promises it."""
        if path[:1] != b"/" or (self.root is None and top(path) not in self.tops and not is_odd(path)):
            return None
        clean = normal(path) if is_odd(path) else path.rstrip(b"/")
        if self.root is not None and top(clean or ROOT) not in self.tops:
            return self._in_root(clean, b"/" if path.endswith(b"/") else b"")
        at = clean
        if at.count(b"/") > self._depth:  # no target is as long; a path may be very long
            at = b"/".join(at.split(b"/", self._depth + 1)[:-1])
        while len(at) > 1:
            promise = self._by_target.get(at)
            if promise is not None:
                if self.shown(clean) is not None:  # a real path, of a state directory that lies in a promised one
                    return None
                return promise.source + clean[len(at) :] + (b"/" if path.endswith(b"/") else b""), promise
            at = at[: at.rfind(b"/")]
        return self._in_root(clean, b"/" if path.endswith(b"/") else b"")

    def _in_root(self, clean: bytes, end: bytes) -> tuple[bytes, Promise] | None:
        if self.root is None or top(clean or ROOT) in KERNELS or self.shown(clean) is not None:
            return None
        inside = clean.rstrip(b"/")
        return self.root.source + inside + (end if inside else b""), self.root

    def is_device(self, path: bytes) -> bool:
        """Quickly: it lies in /dev, where nothing is written, and nothing is promised by its name there."""
        return path.startswith(_DEV) and path.split(b"/", 3)[2] not in self._in_dev and not is_odd(path)

    def concerns(self, relative: bytes) -> bool:
        """Whether a path without a leading slash may lead to something promised, seen from some directory."""
        name = relative.split(b"/", 1)[0]
        return name in self._names or name == b".."

    def sources(self, *, readonly: bool) -> Iterator[bytes]:
        """Where the promises of this kind really are."""
        return (each.source for each in self._by_source if each.readonly == readonly)

    def shown(self, real: bytes) -> bytes | None:
        """How the container names a real path; None: as it is."""
        if not real.startswith(self._sources):
            return None
        for promise in self._by_source:
            if real == promise.source or real.startswith(promise.source + b"/"):
                rest = real[len(promise.source) :]
                if promise.target == PROGRAMS:  # what it is a copy of
                    return b"/" + rest.split(b"/", 2)[2] if rest.count(b"/") > 1 else None
                return promise.target.rstrip(b"/") + rest or ROOT
        return None


def top(path: bytes) -> bytes:
    """The first name of an absolute path; empty for `/`."""
    return path.split(b"/", 2)[1]


def normal(path: bytes) -> bytes:
    """Of an absolute path. Links are not followed: `..` after one of them leads elsewhere than the kernel would go."""
    if b"//" not in path and b"/." not in path and path[-1:] != b"/":
        return path
    return b"/" + os.path.normpath(path).lstrip(b"/")


def is_odd(path: bytes) -> bool:
    """Has `//`, `.` or `..` in it."""
    return b"//" in path or b"/." in path


def plan(
    promises: Iterable[Promise], skeleton: bytes, exists: dict[bytes, bytes | None]
) -> tuple[list[Promise], list[bytes]]:
    """All that has to be promised, and the directories to make in `skeleton` for it: no more, since making one costs a third of
    a millisecond.

    `exists` has every parent of every target: its real path on the machine, None where there is no such thing.
    """
    found = list(promises)
    targets = {each.target for each in found}
    lacking: set[bytes] = set()
    wanted = list(found)
    for promise in wanted:
        for parent in parents(promise.target):
            if exists[parent] is None and not any(above in targets for above in (*parents(parent), parent)):
                found.append(Promise(parent, skeleton + parent, readonly=True))
                targets.add(parent)
                lacking.add(parent)
                break
        nearest = next((p for p in reversed(list(parents(promise.target))) if exists[p] is not None), b"/")
        real = exists.get(nearest) or nearest
        if real != nearest:
            alias = real.rstrip(b"/") + promise.target[len(nearest) :]
            if alias not in targets:
                found.append(Promise(alias, promise.source, promise.readonly))
    return found, [each.target for each in wanted if not lacking.isdisjoint(parents(each.target))]


def parents(path: bytes) -> list[bytes]:
    """Of an absolute path, from the top, without `/` and without itself."""
    parts = path.split(b"/")[1:-1]
    return [b"/" + b"/".join(parts[: at + 1]) for at in range(len(parts))]
