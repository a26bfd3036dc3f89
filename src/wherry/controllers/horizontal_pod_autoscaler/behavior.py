"""How fast a size may change: stabilization windows and policies of spec.behavior. Pure; times are Unix seconds.

Growing: at once, by at most 100 % or 4 pods per 15 s, whichever is more. Shrinking: only to the highest size recommended
in the last 300 s. Those are the defaults; each can be set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct, field

from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.controllers.horizontal_pod_autoscaler.usage import Tolerance

SCALE_DOWN_SECONDS = 300
DEFAULT_TOLERANCE = 0.1
_UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}


class Rules(Struct, frozen=True):
    """One direction."""

    window: int
    select: str
    policies: Sequence[Obj]

    @classmethod
    def of(cls, hpa: Obj, direction: str, defaults: Obj, window: int) -> Rules:
        own = (hpa["spec"].get("behavior") or {}).get(direction) or {}
        chosen = own.get("stabilizationWindowSeconds")
        return cls(
            window if chosen is None else int(chosen),
            own.get("selectPolicy") or defaults["selectPolicy"],
            own.get("policies") or defaults["policies"],
        )


class History(Struct):
    """What was recommended and done for one autoscaler; forgotten with the process, as in Kubernetes."""

    recommendations: list[tuple[float, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)
    """(when, by how many pods, negative for fewer)"""


class Decision(Struct, frozen=True):
    """The size, and two conditions as (status, reason, message); `stabilized` None: nothing was held back."""

    replicas: int
    stabilized: tuple[str, str, str] | None
    limited: tuple[str, str, str]


def tolerance(hpa: Obj) -> Tolerance:
    behavior = hpa["spec"].get("behavior") or {}

    def of(direction: str) -> float:
        text = (behavior.get(direction) or {}).get("tolerance")
        return DEFAULT_TOLERANCE if text is None else Quantity.parse(text).nanos / 1e9

    return Tolerance(of("scaleUp"), of("scaleDown"))


def decide(hpa: Obj, current: int, wanted: int, history: History, now: float, scale_down_seconds: int) -> Decision:
    """What becomes of the wish for `wanted` replicas. Adds it to the history."""
    up = Rules.of(hpa, "scaleUp", _UP, 0)
    down = Rules.of(hpa, "scaleDown", _DOWN, scale_down_seconds)
    stable = _stabilize(current, wanted, history, up, down, now)
    held = None
    if stable != wanted:
        held = _UP_STABILIZED if wanted > current else _DOWN_STABILIZED
    _forget(history, up, down, now)
    lowest, highest = hpa["spec"].get("minReplicas") or 1, hpa["spec"]["maxReplicas"]
    if hpa["spec"].get("minReplicas") == 0:
        lowest = 0
    if stable > current:
        limit = max(_limit_up(current, history, up, now), current)
        most, why = (highest, _TOO_MANY) if highest <= limit else (limit, _UP_LIMIT)
        return Decision(most, held, why) if stable > most else Decision(stable, held, _WITHIN)
    if stable < current:
        limit = min(_limit_down(current, history, down, now), current)
        least, why = (lowest, _TOO_FEW) if lowest >= limit else (limit, _DOWN_LIMIT)
        return Decision(least, held, why) if stable < least else Decision(stable, held, _WITHIN)
    return Decision(stable, held, _WITHIN)


def _stabilize(current: int, wanted: int, history: History, up: Rules, down: Rules, now: float) -> int:
    """Grow only as far as every recent recommendation agrees, shrink only as far as all do."""
    history.recommendations.append((now, wanted))
    least = min((one for at, one in history.recommendations if at > now - up.window), default=wanted)
    most = max((one for at, one in history.recommendations if at > now - down.window), default=wanted)
    return min(max(current, min(least, wanted)), max(most, wanted))


def _forget(history: History, up: Rules, down: Rules, now: float) -> None:
    longest = max(up.window, down.window)
    history.recommendations[:] = [one for one in history.recommendations if one[0] > now - longest]
    period = max(policy["periodSeconds"] for policy in [*up.policies, *down.policies])
    history.changes[:] = [one for one in history.changes if one[0] > now - period]


def _at_period_start(current: int, history: History, policy: Obj, now: float) -> int:
    return current - sum(change for at, change in history.changes if at > now - policy["periodSeconds"])


def _limit_up(current: int, history: History, rules: Rules, now: float) -> int:
    if rules.select == "Disabled":
        return current
    proposals = []
    for policy in rules.policies:
        start = _at_period_start(current, history, policy, now)
        if policy["type"] == "Pods":
            proposals.append(start + int(policy["value"]))
        else:
            proposals.append(math.ceil(start * (100 + policy["value"]) / 100))
    return min(proposals) if rules.select == "Min" else max(proposals)


def _limit_down(current: int, history: History, rules: Rules, now: float) -> int:
    if rules.select == "Disabled":
        return current
    proposals = []
    for policy in rules.policies:
        start = _at_period_start(current, history, policy, now)
        if policy["type"] == "Pods":
            proposals.append(start - int(policy["value"]))
        else:
            proposals.append(start * (100 - int(policy["value"])) // 100)
    # "Max" is the policy that changes most.
    return max(proposals) if rules.select == "Min" else min(proposals)


_UP_STABILIZED = (
    "True",
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_DOWN_STABILIZED = (
    "True",
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)
_TOO_MANY = ("True", "TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("True", "TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_LIMIT = (
    "True",
    "ScaleUpLimit",
    "the desired replica count is increasing faster than the maximum scale rate",
)
_DOWN_LIMIT = (
    "True",
    "ScaleDownLimit",
    "the desired replica count is decreasing faster than the maximum scale rate",
)
_WITHIN = ("False", "DesiredWithinRange", "the desired count is within the acceptable range")
