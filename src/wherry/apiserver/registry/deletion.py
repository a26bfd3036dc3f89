"""Deciding what a DELETE does to one object: pure, no storage.

Theory: an object goes at once unless it has a grace period to run (pods) or somebody holds it (finalizers, a namespace's
contents). Then it only gets a deletionTimestamp, and the last update that frees it removes it (`is_free`). Propagation
policies are finalizers too: `orphan` and `foregroundDeletion`, worked off by the garbage collector.
Documented in Kubernetes' "Garbage Collection" and "Finalizers" pages.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


class Deletion(Struct, frozen=True):
    """`remove`: take it out of storage now; `mark`: store `metadata`; `keep`: it is being deleted already, nothing to do."""

    action: Literal["remove", "mark", "keep"]
    metadata: Obj
    first: bool = False
    """This marking is the first: the object was not being deleted before."""


def plan(obj: Obj, options: Obj, grace_seconds: int | None, now: float, held: bool, default_orphan: bool) -> Deletion:
    """What to do with `obj`, given DeleteOptions, the grace its strategy allows (None: the kind has none) and the time."""
    old: Obj = obj["metadata"]
    metadata = dict(old)
    finalizers = _finalizers(old, options, default_orphan)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    first = not old.get("deletionTimestamp")
    graceful = grace_seconds is not None and grace_seconds > 0
    if first:
        seconds = grace_seconds or 0
        metadata["deletionTimestamp"] = rfc3339(now + seconds)
        if not held:
            metadata["deletionGracePeriodSeconds"] = seconds
        if metadata.get("generation"):
            metadata["generation"] += 1
    elif _shortens(old, options, grace_seconds):
        seconds = grace_seconds or 0
        metadata["deletionTimestamp"] = rfc3339(now + seconds)
        metadata["deletionGracePeriodSeconds"] = seconds
    still_waiting = bool(metadata.get("deletionGracePeriodSeconds")) if grace_seconds is not None else graceful
    if not finalizers and not held and not still_waiting:
        return Deletion("remove", metadata, first)
    if metadata == old:
        return Deletion("keep", metadata)
    return Deletion("mark", metadata, first)


def is_free(obj: Obj, held: bool) -> bool:
    """A deleted object nobody holds any more, and whose grace has run out or been cut to nothing."""
    metadata = obj["metadata"]
    return (
        bool(metadata.get("deletionTimestamp"))
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not held
    )


def _shortens(old: Obj, options: Obj, grace_seconds: int | None) -> bool:
    """A later DELETE may only cut a running grace period short, and only when it says how long."""
    if grace_seconds is None or options.get("gracePeriodSeconds") is None:
        return False
    return grace_seconds < (old.get("deletionGracePeriodSeconds") or 0)


def _finalizers(metadata: Obj, options: Obj, default_orphan: bool) -> list[str]:
    """The finalizers this deletion leaves the object with."""
    current: list[str] = metadata.get("finalizers", [])
    policy = options.get("propagationPolicy")
    if policy is None and options.get("orphanDependents") is not None:
        policy = "Orphan" if options["orphanDependents"] else "Background"
    if policy is None:
        if ORPHAN in current or FOREGROUND in current:
            return current
        policy = "Orphan" if default_orphan else "Background"
    wanted = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(policy)
    kept = [each for each in current if each not in (ORPHAN, FOREGROUND) or each == wanted]
    if wanted is not None and wanted not in kept:
        kept.append(wanted)
    return kept
