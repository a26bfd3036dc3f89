"""A PodDisruptionBudget's status from its pods. Pure.

A pod the API server is about to evict (status.disruptedPods) counts as gone from that moment on, before anybody sees it
go; if it is still there after DELETION_SECONDS it counts again.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from wherry.aio.clock import parse_rfc3339, rfc3339
from wherry.api.intstr import is_percent, scaled_value
from wherry.api.types import Obj
from wherry.reconcile.pods import condition, is_ready, is_terminating

DELETION_SECONDS = 120.0
"""kube-controller-manager's DeletionTimeout: what was announced and did not happen by then is no disruption."""
ALLOWED = "DisruptionAllowed"


class Need(Struct, frozen=True):
    """How many pods there should be, and how many of them must be healthy."""

    expected: int
    healthy: int


class Look(Struct):
    """`status` to store; `not_deleted`: pods that were announced and stayed; `look_again` in seconds."""

    status: Obj
    not_deleted: list[Obj] = field(default_factory=list)
    look_again: float | None = None


def asks_owners(budget: Obj) -> bool:
    """Whether the number of pods their owners want matters: for shares, and for a number that may be missing."""
    spec = budget["spec"]
    return spec.get("maxUnavailable") is not None or is_percent(spec.get("minAvailable") or 0)


def need(budget: Obj, pods: int, scale: int) -> Need:
    """`pods` there are; `scale` is how many their owners want (only asked for when `asks_owners`). Shares round up."""
    spec = budget["spec"]
    if spec.get("maxUnavailable") is not None:
        return Need(scale, max(scale - scaled_value(spec["maxUnavailable"], scale, round_up=True), 0))
    least = spec.get("minAvailable")
    if least is None:
        return Need(0, 0)
    if is_percent(least):
        return Need(scale, scaled_value(least, scale, round_up=True))
    return Need(pods, scaled_value(least, pods, round_up=True))


def look(budget: Obj, pods: Sequence[Obj], needed: Need, now: float) -> Look:
    """What the pods amount to."""
    result = Look({})
    disrupted = _still_announced(budget, pods, result, now)
    healthy = sum(
        not is_terminating(pod) and pod["metadata"]["name"] not in disrupted and is_ready(pod) for pod in pods
    )
    allowed = max(healthy - needed.healthy, 0) if needed.expected > 0 else 0
    result.status = {"observedGeneration": budget["metadata"].get("generation", 0)}
    if disrupted:
        result.status["disruptedPods"] = disrupted
    result.status |= {
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": needed.healthy,
        "expectedPods": needed.expected,
        "conditions": conditions(budget, "SufficientPods" if allowed else "InsufficientPods", "", now),
    }
    return result


def failed(budget: Obj, message: str, now: float) -> Obj:
    """The status when the numbers are not known: nothing may be disrupted."""
    status = {**budget.get("status", {}), "disruptionsAllowed": 0}
    for key in ("currentHealthy", "desiredHealthy", "expectedPods"):
        status.setdefault(key, 0)
    status["conditions"] = conditions(budget, "SyncFailed", message, now)
    return status


def conditions(budget: Obj, reason: str, message: str, now: float) -> list[Obj]:
    """With DisruptionAllowed as it is now; others stay."""
    before = condition(budget, ALLOWED)
    value = "True" if reason == "SufficientPods" else "False"
    since = before["lastTransitionTime"] if before is not None and before["status"] == value else rfc3339(now)
    new = {
        "type": ALLOWED,
        "status": value,
        "observedGeneration": budget["metadata"].get("generation", 0),
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }
    others = [one for one in budget.get("status", {}).get("conditions") or () if one["type"] != ALLOWED]
    return [*others, new]


def _still_announced(budget: Obj, pods: Sequence[Obj], result: Look, now: float) -> dict[str, str]:
    announced: dict[str, str] = budget.get("status", {}).get("disruptedPods") or {}
    kept: dict[str, str] = {}
    for pod in pods:
        since = announced.get(pod["metadata"]["name"])
        if since is None or is_terminating(pod):
            continue
        left = parse_rfc3339(since) + DELETION_SECONDS - now
        if left < 0:
            result.not_deleted.append(pod)
            continue
        kept[pod["metadata"]["name"]] = since
        # Half a second more, so that it is over when we look.
        result.look_again = left + 0.5 if result.look_again is None else min(result.look_again, left + 0.5)
    return kept
