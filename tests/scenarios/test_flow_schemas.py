"""A FlowSchema says whether its priority level exists, when either comes or goes."""

from __future__ import annotations

import asyncio

from world import World, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import FLOW_SCHEMAS, PRIORITY_LEVELS
from wherry.api.types import Obj
from wherry.controllers import flow_schema

API = "flowcontrol.apiserver.k8s.io/v1"


async def dangling(w: World, status: str) -> Obj:
    """The condition, once it is `status`."""

    async def now() -> Obj | None:
        found = await w.get(FLOW_SCHEMAS, "mine", "")
        conditions = ((found or {}).get("status") or {}).get("conditions") or []
        return next((each for each in conditions if each["type"] == "Dangling" and each["status"] == status), None)

    await w.until(now)
    found = await now()
    assert found is not None
    return found


def test_a_level_that_is_missing_is_said() -> None:
    async def main() -> None:
        async with world() as w:
            w.started.append(asyncio.create_task(w.add(flow_schema).run()))
            spec = {"priorityLevelConfiguration": {"name": "low"}, "matchingPrecedence": 9}
            await w.client.create(
                FLOW_SCHEMAS, {"apiVersion": API, "kind": "FlowSchema", "metadata": {"name": "mine"}, "spec": spec}
            )
            found = await dangling(w, "True")
            assert found["reason"] == "NotFound"
            text = 'This FlowSchema references the PriorityLevelConfiguration object named "low"'
            assert found["message"] == f"{text} but there is no such object"
            limited = {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
            kind = "PriorityLevelConfiguration"
            await w.client.create(
                PRIORITY_LEVELS, {"apiVersion": API, "kind": kind, "metadata": {"name": "low"}, "spec": limited}
            )
            found = await dangling(w, "False")
            assert (found["reason"], found["message"]) == ("Found", f"{text} and it exists")
            await w.client.delete(PRIORITY_LEVELS, "low")
            await dangling(w, "True")

    run_virtual(main())
