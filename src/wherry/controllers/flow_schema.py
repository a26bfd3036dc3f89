"""Says of each FlowSchema whether the priority level it names exists: the condition `Dangling`.

One key per FlowSchema; a level that comes or goes wakes those that name it. Source: what Kubernetes documents of
FlowSchema's status, with its texts.
"""

from __future__ import annotations

from wherry.aio.clock import rfc3339
from wherry.api.resources import FLOW_SCHEMAS, PRIORITY_LEVELS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import write_status_if_there

_BY_LEVEL = "level"


def build(parts: Parts) -> Controller:
    queue: WorkQueue[Request] = WorkQueue("flow-schema", parts.clock)
    schemas, levels = parts.factory.informer(FLOW_SCHEMAS), parts.factory.informer(PRIORITY_LEVELS)
    schemas.add_index(_BY_LEVEL, lambda schema: [level_of(schema)])

    def on_level(change: str, level: Obj, old: Obj | None) -> None:
        if change != "modified":
            for schema in schemas.by_index(_BY_LEVEL, level["metadata"]["name"]):
                queue.add(Request.of(schema))

    schemas.add_handler(lambda change, schema, _: None if change == "deleted" else queue.add(Request.of(schema)))
    levels.add_handler(on_level)
    return Controller("flow-schema", Dangling(parts, schemas, levels), queue, workers=1, sources=(schemas, levels))


class Dangling:
    """The reconciler."""

    def __init__(self, parts: Parts, schemas: Informer, levels: Informer) -> None:
        self._client = parts.client
        self._clock = parts.clock
        self._schemas = schemas
        self._levels = levels

    async def reconcile(self, request: Request) -> None:
        schema = self._schemas.get(request.name)
        if schema is None:
            return
        exists = self._levels.get(level_of(schema)) is not None
        status = plan(schema, exists, rfc3339(self._clock.time()))
        await write_status_if_there(self._client, FLOW_SCHEMAS, schema, status)


def level_of(schema: Obj) -> str:
    """ "" for a schema stored before they were validated."""
    return str((schema["spec"].get("priorityLevelConfiguration") or {}).get("name") or "")


def plan(schema: Obj, exists: bool, now: str) -> Obj:
    """The status as it should be; the time of the condition stays while its status does."""
    status: Obj = schema.get("status") or {}
    before = next((each for each in status.get("conditions") or [] if each.get("type") == "Dangling"), None)
    others = [each for each in status.get("conditions") or [] if each.get("type") != "Dangling"]
    start = f'This FlowSchema references the PriorityLevelConfiguration object named "{level_of(schema)}"'
    made = {
        "type": "Dangling",
        "status": "False" if exists else "True",
        "lastTransitionTime": now,
        "reason": "Found" if exists else "NotFound",
        "message": f"{start} and it exists" if exists else f"{start} but there is no such object",
    }
    if before is not None and before.get("status") == made["status"]:
        made["lastTransitionTime"] = before.get("lastTransitionTime")
    return {**status, "conditions": [*others, made]}
