"""Past templates of a StatefulSet or a DaemonSet as ControllerRevisions, which `kubectl rollout history` and `undo` read.

Deciding is pure (`look`, `to_forget`); `store` writes what `look` found missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from wherry.api.errors import StatusError, is_already_exists
from wherry.api.resources import CONTROLLER_REVISIONS
from wherry.api.types import GVR, Obj
from wherry.client.rest import Client
from wherry.reconcile.ownership import controller_of, controller_ref
from wherry.reconcile.pods import created_at
from wherry.reconcile.template_hash import hash_of
from wherry.reconcile.writes import write_status

LIMIT = 10
"""apps/v1's default of revisionHistoryLimit."""


class History(Struct, frozen=True):
    """`create`: the revision of the present template, if it is new; `renumber`: an old one that is present again."""

    update: Obj
    current: Obj
    create: bool
    renumber: bool


def data_of(owner: Obj) -> Obj:
    """What a revision keeps: a patch that puts the template back."""
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def template_of(revision: Obj) -> Obj:
    return {key: value for key, value in revision["data"]["spec"]["template"].items() if key != "$patch"}


def look(owner: Obj, revisions: Iterable[Obj], hash_label: str) -> History:
    """Find the present template among the revisions `owner` controls, and the one its pods should still have.

    `hash_label` is the label under which a revision carries its hash."""
    known = sorted(revisions, key=lambda one: (one["revision"], created_at(one), one["metadata"]["name"]))
    data = data_of(owner)
    same = [one for one in known if one["data"] == data]
    number = known[-1]["revision"] + 1 if known else 1
    if same and same[-1] is known[-1]:
        update, create, renumber = known[-1], False, False
    elif same:
        update, create, renumber = {**same[-1], "revision": number}, False, True
    else:
        update, create, renumber = _new(owner, data, number, hash_label), True, False
    name = owner.get("status", {}).get("currentRevision")
    current = next((one for one in known if one["metadata"]["name"] == name), update)
    return History(update, current, create, renumber)


def to_forget(owner: Obj, revisions: Sequence[Obj], used: Collection[str]) -> list[Obj]:
    """Revisions beyond the limit whose names are not `used` (by pods, or as the present one), oldest first."""
    limit = owner["spec"].get("revisionHistoryLimit")
    limit = LIMIT if limit is None else int(limit)
    free = sorted((one for one in revisions if one["metadata"]["name"] not in used), key=lambda one: one["revision"])
    return free[: max(len(free) - limit, 0)]


async def store(client: Client, gvr: GVR, owner: Obj, history: History) -> Obj:
    """The update revision as stored. Raises AlreadyExists when one of that name holds another template, or is another kind's:
    the collision count was raised, and the next look finds a free name."""
    if history.renumber:
        return await client.update(CONTROLLER_REVISIONS, history.update)
    if not history.create:
        return history.update
    metadata = history.update["metadata"]
    try:
        return await client.create(CONTROLLER_REVISIONS, history.update)
    except StatusError as error:
        if not is_already_exists(error):
            raise
        existing = await client.get(CONTROLLER_REVISIONS, metadata["name"], metadata["namespace"])
        holder = controller_of(existing)
        if existing["data"] == history.update["data"] and (holder is None or holder["kind"] == owner["kind"]):
            return existing
        before = owner.get("status", {})
        after = {**before, "collisionCount": before.get("collisionCount", 0) + 1}
        await write_status(client, gvr, owner, after)
        raise


def _new(owner: Obj, data: Obj, number: int, hash_label: str) -> Obj:
    value = hash_of(data, owner.get("status", {}).get("collisionCount"))
    metadata = owner["metadata"]
    labels = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
    made: Obj = {
        "name": f"{metadata['name']}-{value}",
        "namespace": metadata["namespace"],
        "labels": {**labels, hash_label: value},
        "ownerReferences": [controller_ref(owner)],
    }
    if metadata.get("annotations"):
        made["annotations"] = metadata["annotations"]  # kubernetes.io/change-cause among them
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": made,
        "data": data,
        "revision": number,
    }
