"""DaemonSets: one pod per node, replaced there one after the other."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.integers import capped
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import fill, section
from wherry.apiserver.registry.deployment import amount, at_most_everything, is_zero
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import pod_spec, selectors
from wherry.apiserver.registry.workload import Workload, collisions, counts, selector_rules, template_rules, usable

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_COUNTERS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")


class DaemonSetStrategy(Workload):
    empty_status = dict.fromkeys(_COUNTERS, 0)

    def default(self, obj: Obj) -> None:
        super().default(obj)
        section(obj["metadata"], "annotations").setdefault(TEMPLATE_GENERATION, "0")
        spec = obj["spec"]
        fill(spec, revisionHistoryLimit=10)
        strategy = section(spec, "updateStrategy")
        fill(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            fill(section(strategy, "rollingUpdate"), maxUnavailable=1, maxSurge=0)

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        section(obj["metadata"], "annotations")[TEMPLATE_GENERATION] = "1"

    def prepare_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        super().prepare_update(obj, old, ctx)
        stored = (old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION) or "0"
        count = capped(stored) if stored.isascii() and stored.isdigit() else 0
        if obj["spec"].get("template") != old["spec"].get("template"):
            count += 1
        section(obj["metadata"], "annotations")[TEMPLATE_GENERATION] = str(count)

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        causes = selector_rules(spec.get("selector"), "empty selector is invalid for daemonset")
        if usable(spec.get("selector")):
            causes += template_rules(spec, "DaemonSet")
        else:
            causes += pod_spec.template(f.as_dict(spec.get("template")), "spec.template")
        for key in ("minReadySeconds", "revisionHistoryLimit"):
            causes += f.non_negative(spec.get(key), f"spec.{key}")
        return causes + _strategy(spec["updateStrategy"], "spec.updateStrategy")

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return selectors.unchanged(obj["spec"].get("selector"), old["spec"].get("selector"), "spec.selector")

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        numbers = ("updatedNumberScheduled", "numberAvailable", "numberUnavailable", "observedGeneration")
        status = f.as_dict(obj.get("status"))
        return counts(status, *_COUNTERS, *numbers, "collisionCount") + collisions(status, old)


def _strategy(strategy: Obj, path: str) -> list[Cause]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate" or rolling is None:
        shown = {"Type": kind, "RollingUpdate": rolling}
        return [f.not_supported(path, shown, ("RollingUpdate", "OnDelete"))]
    at = f"{path}.rollingUpdate"
    unavailable, surge = rolling["maxUnavailable"], rolling["maxSurge"]
    causes: list[Cause] = []
    for key, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        causes += amount(value, f"{at}.{key}") + at_most_everything(value, f"{at}.{key}")
    if not is_zero(unavailable) and not is_zero(surge):
        causes.append(f.invalid(f"{at}.maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    if is_zero(unavailable) and is_zero(surge):
        causes.append(f.required(f"{at}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return causes
