"""Past templates of a StatefulSet as ControllerRevisions, which `kubectl rollout history` and `undo` read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from wherry.api.types import Obj
from wherry.reconcile.ownership import controller_ref
from wherry.reconcile.pods import created_at

HASH_LABEL = "controller.kubernetes.io/hash"
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class History:
    """`create`: the revision of the present template, if it is new; `renumber`: an old one that is present again."""

    update: Obj
    current: Obj
    create: bool
    renumber: bool


def data_of(statefulset: Obj) -> Obj:
    """What a revision keeps: a patch that puts the template back."""
    return {"spec": {"template": {**statefulset["spec"]["template"], "$patch": "replace"}}}


def template_of(revision: Obj) -> Obj:
    return {key: value for key, value in revision["data"]["spec"]["template"].items() if key != "$patch"}


def look(statefulset: Obj, revisions: Iterable[Obj]) -> History:
    """Find the present template among the revisions the set owns, and the one its pods should still have."""
    known = sorted(revisions, key=lambda one: (one["revision"], created_at(one), one["metadata"]["name"]))
    data = data_of(statefulset)
    same = [one for one in known if one["data"] == data]
    number = known[-1]["revision"] + 1 if known else 1
    if same and same[-1] is known[-1]:
        update, create, renumber = known[-1], False, False
    elif same:
        update, create, renumber = {**same[-1], "revision": number}, False, True
    else:
        update, create, renumber = _new(statefulset, data, number), True, False
    name = statefulset.get("status", {}).get("currentRevision")
    current = next((one for one in known if one["metadata"]["name"] == name), update)
    return History(update, current, create, renumber)


def to_forget(statefulset: Obj, revisions: Sequence[Obj], used: set[str]) -> list[Obj]:
    """Revisions beyond the limit that no pod has, oldest first."""
    limit = statefulset["spec"].get("revisionHistoryLimit")
    limit = 10 if limit is None else int(limit)
    free = sorted((one for one in revisions if one["metadata"]["name"] not in used), key=lambda one: one["revision"])
    return free[: max(len(free) - limit, 0)]


def _new(statefulset: Obj, data: Obj, number: int) -> Obj:
    value = _hash(data, statefulset.get("status", {}).get("collisionCount"))
    metadata = statefulset["metadata"]
    labels = (statefulset["spec"]["template"].get("metadata") or {}).get("labels") or {}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{metadata['name']}-{value}",
            "namespace": metadata["namespace"],
            "labels": {**labels, HASH_LABEL: value},
            "ownerReferences": [controller_ref(statefulset)],
        },
        "data": data,
        "revision": number,
    }


def _hash(data: Obj, collisions: int | None) -> str:
    """FNV-1a of the canonical data in the alphabet of generated names; deterministic across restarts."""
    value = 2166136261
    for byte in _encode(data) + str(collisions or "").encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return "".join(_SAFE[int(digit)] for digit in str(value))
