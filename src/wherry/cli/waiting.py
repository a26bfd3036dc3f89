"""Wait until what was applied is ready, showing how far each object is; say why when it does not become so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from wherry.aio.clock import Clock
from wherry.api.errors import StatusError
from wherry.api.types import GVR, Obj
from wherry.cli.apply import Applied, title
from wherry.cli.connect import Connection
from wherry.cli.explain import explain
from wherry.cli.progress import Progress
from wherry.cli.readiness import RULES, State, Verdict, verdict
from wherry.client.rest import Client

RETRY_SECONDS = 0.2  # after a watch that broke: the control plane is back within a second


class Unready(Exception):
    """Something is not ready; the text names each object and why."""


@dataclass(slots=True)
class _Waited:
    """One object we wait for, as last seen."""

    applied: Applied
    obj: Obj

    @property
    def verdict(self) -> Verdict:
        return verdict(self.obj)


async def wait_ready(
    connection: Connection, applied: Sequence[Applied], progress: Progress, seconds: float, clock: Clock
) -> None:
    """Return when all are ready. Raises Unready when one failed for good or `seconds` have passed."""
    waited = [_Waited(item, item.obj) for item in applied if item.resource.kind in RULES]
    # A claim that waits for its first consumer is bound only when a pod uses it: not waited for by itself.
    waited = [item for item in waited if item.obj["kind"] != "PersistentVolumeClaim"]
    try:
        async with asyncio.timeout(seconds):
            await _until_all_final(connection.client, waited, progress, clock)
    except TimeoutError:
        raise Unready(await _report(connection, waited, f"not ready after {seconds:.0f} s")) from None
    failed = [item for item in waited if item.verdict.state is State.FAILED]
    if failed:
        raise Unready(await _report(connection, failed, "failed"))


async def _until_all_final(client: Client, waited: Sequence[_Waited], progress: Progress, clock: Clock) -> None:
    """What was ready may have failed while others were waited for: at the end all are looked at once more."""
    open_items = list(waited)
    while open_items:
        async with asyncio.TaskGroup() as group:
            for item in open_items:
                group.create_task(_follow(client, item, progress, clock))
        for item in waited:
            item.obj = await _again(client, item.applied.resource.gvr, item.obj)
        open_items = [item for item in waited if item.verdict.state is State.PROGRESSING]


async def _follow(client: Client, item: _Waited, progress: Progress, clock: Clock) -> None:
    """Watch one object until its verdict is final."""
    gvr = item.applied.resource.gvr
    while not _show(item, progress):
        try:
            item.obj = await _next(client, gvr, item.obj)
        except (StatusError, ConnectionError) as error:
            if isinstance(error, StatusError) and error.code == 404:
                item.obj = {**item.obj, "status": {"phase": "Failed", "message": "was deleted"}}
                continue
            await clock.sleep(RETRY_SECONDS)
            item.obj = await _again(client, gvr, item.obj)


async def _next(client: Client, gvr: GVR, obj: Obj) -> Obj:
    """The object's next state."""
    metadata = obj["metadata"]
    watch = client.watch(
        gvr,
        metadata.get("namespace"),
        resource_version=metadata["resourceVersion"],
        fields=f"metadata.name={metadata['name']}",
    )
    async with watch as events:
        async for event in events:
            if event["type"] == "DELETED":
                raise StatusError(404, "NotFound", "deleted")
            if event["type"] == "ERROR":
                raise StatusError.from_status(event["object"])
            if event["type"] != "BOOKMARK":
                found: Obj = event["object"]
                return found
    return await client.get(gvr, metadata["name"], metadata.get("namespace"))


async def _again(client: Client, gvr: GVR, obj: Obj) -> Obj:
    try:
        return await client.get(gvr, obj["metadata"]["name"], obj["metadata"].get("namespace"))
    except ConnectionError:
        return obj


def _show(item: _Waited, progress: Progress) -> bool:
    """Whether the verdict is final."""
    found = item.verdict
    name = title(item.applied.resource, item.obj)
    if found.state is State.READY:
        progress.update(name, found.text or "ready", "done")
    elif found.state is State.FAILED:
        progress.update(name, found.text, "failed")
    else:
        progress.update(name, found.text)
    return found.state is not State.PROGRESSING


async def _report(connection: Connection, waited: Sequence[_Waited], what: str) -> str:
    rows: list[str] = []
    for item in waited:
        found = item.verdict
        if found.state is State.READY:
            continue
        namespace = item.obj["metadata"].get("namespace", "")
        rows.append(f"{namespace}/{title(item.applied.resource, item.obj)} {what}: {found.text}")
        for reason in await explain(connection, item.obj):
            rows += [f"  {line}" for line in reason.lines()]
    return "\n".join(rows)
