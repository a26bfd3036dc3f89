"""Make the bootstrap objects exist, through the API like everybody else, as often as one likes.

What exists is left as its owner made it, with one exception Kubernetes also makes: roles and bindings annotated for
auto-update get back the rules and subjects they lack. A second start therefore only lists.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import groupby

from wherry.api.errors import StatusError, is_already_exists, is_conflict
from wherry.api.scheme import Scheme
from wherry.api.types import GVR, Obj
from wherry.apiserver.bootstrap.objects import AUTO_UPDATE
from wherry.client.rest import Client

AT_ONCE = 64
"""Creates on their way at a time: enough that storage commits them in groups."""


async def ensure(client: Client, scheme: Scheme, objects: Iterable[Obj]) -> int:
    """Create what is missing; the answer is how many writes that took. Raises StatusError."""
    writes = 0
    gate = asyncio.Semaphore(AT_ONCE)
    for stage in _stages(objects):
        found = await _existing(client, scheme, stage)

        async def one(obj: Obj, found: dict[tuple[GVR, str, str], Obj] = found) -> int:
            async with gate:
                return await _ensure_one(client, _gvr(scheme, obj), obj, found)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(obj)) for obj in stage]
        writes += sum(task.result() for task in tasks)
    return writes


def _stages(objects: Iterable[Obj]) -> Iterator[list[Obj]]:
    """Namespaces before what lies in them."""
    ordered = sorted(objects, key=lambda obj: obj["kind"] != "Namespace")
    for _, stage in groupby(ordered, key=lambda obj: obj["kind"] == "Namespace"):
        yield list(stage)


def _gvr(scheme: Scheme, obj: Obj) -> GVR:
    resource = scheme.by_kind(obj["apiVersion"], obj["kind"])
    assert resource is not None, f"{obj['apiVersion']} {obj['kind']} is not served"
    return resource.gvr


async def _existing(client: Client, scheme: Scheme, stage: list[Obj]) -> dict[tuple[GVR, str, str], Obj]:
    found: dict[tuple[GVR, str, str], Obj] = {}
    for gvr in dict.fromkeys(_gvr(scheme, obj) for obj in stage):
        for item in (await client.list(gvr))["items"]:
            found[gvr, item["metadata"].get("namespace", ""), item["metadata"]["name"]] = item
    return found


async def _ensure_one(client: Client, gvr: GVR, obj: Obj, found: dict[tuple[GVR, str, str], Obj]) -> int:
    metadata = obj["metadata"]
    present = found.get((gvr, metadata.get("namespace", ""), metadata["name"]))
    if present is not None:
        if binds_another_role(present, obj):
            await client.delete(gvr, metadata["name"], metadata.get("namespace"))
            await client.create(gvr, obj, metadata.get("namespace"))
            return 2
        repaired = with_missing_grants(present, obj)
        return 0 if repaired is None else await _update(client, gvr, repaired)
    try:
        created = await client.create(gvr, obj, metadata.get("namespace"))
    except StatusError as error:
        if is_already_exists(error):
            return 0
        raise
    status = obj.get("status")
    if status is None or created.get("status") == status:
        return 1
    return 1 + await _update(client, gvr, {**created, "status": status}, "status")


async def _update(client: Client, gvr: GVR, obj: Obj, subresource: str | None = None) -> int:
    try:
        await client.update(gvr, obj, subresource)
    except StatusError as error:
        # Somebody else wrote it just now: theirs counts.
        if is_conflict(error):
            return 0
        raise
    return 1


def binds_another_role(present: Obj, wanted: Obj) -> bool:
    """Whether a binding that updates itself was made anew for another role: a roleRef cannot be changed back. Pure."""
    annotations = present["metadata"].get("annotations") or {}
    return annotations.get(AUTO_UPDATE) == "true" and present.get("roleRef") != wanted.get("roleRef")


def with_missing_grants(present: Obj, wanted: Obj) -> Obj | None:
    """The stored role or binding with what it lacks of `wanted`; None when there is nothing to do. Pure."""
    annotations = present["metadata"].get("annotations") or {}
    if annotations.get(AUTO_UPDATE) != "true":
        return None
    labels, ours = present["metadata"].get("labels") or {}, wanted["metadata"].get("labels") or {}
    repaired = dict(present)
    if not ours.items() <= labels.items():
        repaired["metadata"] = {**present["metadata"], "labels": {**labels, **ours}}
    # The rules of an aggregated role are collected from others.
    keys = ("subjects",) if wanted.get("aggregationRule") else ("rules", "subjects")
    for key in keys:
        have = present.get(key) or []
        missing = [entry for entry in wanted.get(key) or [] if entry not in have]
        if missing:
            repaired[key] = [*have, *missing]
    return repaired if repaired != present else None
