"""Deployments: defaults of a rolling update and what makes one impossible."""

from __future__ import annotations

import re
from typing import Any

from wherry.api.errors import Cause
from wherry.api.integers import capped
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import fill, section
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import selectors
from wherry.apiserver.registry.workload import (
    Workload,
    at_most,
    collisions,
    counts,
    selector_rules,
    template_rules,
    usable,
)

PERCENT_TEXT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
    "regex used for validation is '[0-9]+%')"
)
_PERCENT = re.compile(r"[0-9]+%\Z")


class DeploymentStrategy(Workload):
    empty_status = {}  # noqa: RUF012 - a constant
    condition_times = ("lastUpdateTime", "lastTransitionTime")

    def default(self, obj: Obj) -> None:
        super().default(obj)
        spec = obj["spec"]
        fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
        strategy = section(spec, "strategy")
        fill(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            fill(section(strategy, "rollingUpdate"), maxUnavailable="25%", maxSurge="25%")
        elif strategy.get("rollingUpdate") is None:
            strategy.pop("rollingUpdate", None)

    def prepare_status_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        labels = old["metadata"].get("labels")
        super().prepare_status_update(obj, old, ctx)
        obj["metadata"].pop("labels", None)
        if labels:
            obj["metadata"]["labels"] = labels

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        selector = spec.get("selector")
        causes = f.non_negative(spec.get("replicas"), "spec.replicas")
        if selector is None:
            causes.append(f.required("spec.selector"))
        causes += selector_rules(selector, "empty selector is invalid for deployment")
        if usable(selector):
            causes += template_rules(spec, "ReplicaSet")
        else:
            causes.append(f.invalid("spec.selector", selectors.shown(selector), "invalid label selector"))
        causes += _strategy(spec["strategy"], "spec.strategy")
        for key in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
            causes += f.non_negative(spec.get(key), f"spec.{key}")
        deadline = spec.get("progressDeadlineSeconds")
        if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
            causes.append(f.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
        return causes

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return selectors.unchanged(obj["spec"].get("selector"), old["spec"].get("selector"), "spec.selector")

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        status = f.as_dict(obj.get("status"))
        numbers = ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
        causes = counts(status, *numbers, "unavailableReplicas", "collisionCount")
        bounded = ("updatedReplicas", "readyReplicas", "availableReplicas")
        causes += at_most(status, bounded, "replicas", "status.replicas")
        causes += at_most(status, ("availableReplicas",), "readyReplicas", "readyReplicas")
        return causes + collisions(status, old)


def _strategy(strategy: Obj, path: str) -> list[Cause]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        detail = "may not be specified when strategy `type` is 'Recreate'"
        return [] if rolling is None else [f.forbidden(f"{path}.rollingUpdate", detail)]
    if kind != "RollingUpdate" or rolling is None:
        shown = {"Type": kind, "RollingUpdate": rolling}
        return [f.not_supported(path, shown, ("Recreate", "RollingUpdate"))]
    at = f"{path}.rollingUpdate"
    unavailable, surge = rolling["maxUnavailable"], rolling["maxSurge"]
    causes = amount(unavailable, f"{at}.maxUnavailable") + amount(surge, f"{at}.maxSurge")
    if is_zero(unavailable) and is_zero(surge):
        causes.append(f.invalid(f"{at}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
    return causes + at_most_everything(unavailable, f"{at}.maxUnavailable")


def amount(value: Any, path: str) -> list[Cause]:
    """An int-or-percent that is not negative."""
    if isinstance(value, str):
        return [] if _PERCENT.match(value) else [f.invalid(path, value, PERCENT_TEXT)]
    return f.non_negative(value, path)


def is_zero(value: Any) -> bool:
    return value == 0 or (isinstance(value, str) and bool(_PERCENT.match(value)) and capped(value[:-1]) == 0)


def at_most_everything(value: Any, path: str) -> list[Cause]:
    if isinstance(value, str) and _PERCENT.match(value) and capped(value[:-1]) > 100:
        return [f.invalid(path, value, "must not be greater than 100%")]
    return []
