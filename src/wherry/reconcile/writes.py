"""Writes that several controllers make in the same way: status when it changed, a change on the newest version, a
deletion of exactly this object.

None of them waits or loops for long: who still loses comes back through its queue, with back-off.
"""

from __future__ import annotations

from collections.abc import Callable

from wherry.api.errors import StatusError, is_conflict, is_not_found
from wherry.api.resources import PODS
from wherry.api.types import GVR, Obj
from wherry.client.rest import Client, Propagation

CONFLICT_TRIES = 5
"""client-go's DefaultRetry takes five steps; a sixth loser in a row means a fight, which back-off solves better."""


async def write_status(client: Client, gvr: GVR, obj: Obj, status: Obj) -> Obj:
    """Store `status` if it differs from the object's; returns the newest version known.

    The caller is the only writer of this status, so after a conflict (somebody changed the spec) it is put on the live
    object; its observedGeneration still tells which spec it speaks of.
    """
    if obj.get("status", {}) == status:
        return obj
    try:
        return await client.update(gvr, {**obj, "status": status}, subresource="status")
    except StatusError as error:
        if not is_conflict(error):
            raise
    metadata = obj["metadata"]
    live = await client.get(gvr, metadata["name"], metadata.get("namespace"))
    if live["metadata"]["uid"] != metadata["uid"]:
        return obj
    return await client.update(gvr, {**live, "status": status}, subresource="status")


async def write_status_if_there(client: Client, gvr: GVR, obj: Obj, status: Obj) -> Obj:
    """As `write_status`; nobody needs the status of what was deleted meanwhile, and `obj` is returned."""
    try:
        return await write_status(client, gvr, obj, status)
    except StatusError as error:
        if not is_not_found(error):
            raise
    return obj


async def change(
    client: Client, gvr: GVR, obj: Obj, alter: Callable[[Obj], Obj | None], *, subresource: str | None = None
) -> Obj | None:
    """Store `alter(object)`, first with the version given, after a conflict with the live one.

    `alter` builds a new object, or returns None for "nothing to change". None if the object is gone or replaced.
    """
    metadata = obj["metadata"]
    current = obj
    for tries_left in range(CONFLICT_TRIES - 1, -1, -1):
        altered = alter(current)
        if altered is None:
            return current
        try:
            return await client.update(gvr, altered, subresource=subresource)
        except StatusError as error:
            if is_not_found(error):
                return None
            if not is_conflict(error) or tries_left == 0:
                raise
        try:
            current = await client.get(gvr, metadata["name"], metadata.get("namespace"))
        except StatusError as error:
            if is_not_found(error):
                return None
            raise
        if current["metadata"]["uid"] != metadata["uid"]:
            return None
    raise AssertionError("the last try returns or raises")


async def delete_exactly(
    client: Client, gvr: GVR, obj: Obj, *, propagation: Propagation | None = None, grace_seconds: int | None = None
) -> bool:
    """Delete this very object, not another one of its name. False if it was gone already."""
    metadata = obj["metadata"]
    try:
        await client.delete(
            gvr,
            metadata["name"],
            metadata.get("namespace"),
            uid=metadata["uid"],
            propagation=propagation,
            grace_seconds=grace_seconds,
        )
    except StatusError as error:
        # 409 is the uid precondition: what we meant is gone, its name lives on.
        if is_not_found(error) or is_conflict(error):
            return False
        raise
    return True


async def set_pod_condition(client: Client, pod: Obj, entry: Obj) -> bool:
    """Write one condition of this very pod, beside those of others. False if it is gone or another has its name."""
    metadata = pod["metadata"]
    patch = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [entry]}}
    try:
        await client.patch(PODS, metadata["name"], patch, metadata["namespace"], type="strategic", subresource="status")
    except StatusError as error:
        if is_not_found(error) or is_conflict(error):
            return False
        raise
    return True


def with_metadata(obj: Obj, **changes: object) -> Obj:
    """A copy whose metadata has `changes`; None takes a field out."""
    metadata = {**obj["metadata"], **changes}
    return {**obj, "metadata": {key: value for key, value in metadata.items() if value is not None}}


def with_annotations(obj: Obj, annotations: dict[str, str]) -> Obj:
    """A copy with exactly these annotations."""
    return with_metadata(obj, annotations=annotations or None)
