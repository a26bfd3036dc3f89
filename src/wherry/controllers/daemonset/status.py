"""A DaemonSet's status after a look at nodes and pods. Pure."""

from __future__ import annotations

from wherry.api.types import Obj
from wherry.controllers.daemonset.plan import View
from wherry.controllers.daemonset.pods import is_updated
from wherry.reconcile.pods import seconds_until_available


def status(view: View) -> tuple[Obj, float | None]:
    """The status, and in how many seconds it will change by itself."""
    spec = view.daemonset["spec"]
    scheduled = misscheduled = ready = available = updated = 0
    next_change: float | None = None
    for name, (should_run, _) in view.verdicts.items():
        pods = view.pods.get(name)
        if not pods:
            continue
        if not should_run:
            misscheduled += 1
            continue
        scheduled += 1
        first = pods[0]
        updated += is_updated(first, view.hash)
        for pod in pods:  # while one surges, whichever of the two serves
            missing = seconds_until_available(pod, spec.get("minReadySeconds") or 0, view.now)
            if missing:
                next_change = missing if next_change is None else min(missing, next_change)
        missing = seconds_until_available(first, spec.get("minReadySeconds") or 0, view.now)
        ready += missing is not None
        available += missing == 0
    desired = view.desired
    result: Obj = {
        "currentNumberScheduled": scheduled,
        "numberMisscheduled": misscheduled,
        "desiredNumberScheduled": desired,
        "numberReady": ready,
        "observedGeneration": view.daemonset["metadata"].get("generation", 0),
    }
    numbers = {
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    }
    result.update({key: value for key, value in numbers.items() if value})
    before = view.daemonset.get("status", {})
    result.update({key: before[key] for key in ("collisionCount", "conditions") if before.get(key)})
    return result, next_change
