"""PodDisruptionBudgets: how many may be missing, as a number or a share, never both ways at once."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn
from wherry.apiserver.registry.deployment import amount, at_most_everything
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import selectors
from wherry.apiserver.registry.validation.conditions import conditions
from wherry.apiserver.registry.workload import counts

_COUNTERS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


class PodDisruptionBudgetStrategy(BuiltIn):
    allow_unconditional_update = False
    empty_status = dict.fromkeys(_COUNTERS, 0)

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        causes: list[Cause] = []
        if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
            shown = {
                "MinAvailable": spec["minAvailable"],
                "Selector": spec.get("selector"),
                "MaxUnavailable": spec["maxUnavailable"],
                "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
            }
            causes.append(f.invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set"))
        for key in ("minAvailable", "maxUnavailable"):
            if spec.get(key) is not None:
                causes += amount(spec[key], f"spec.{key}") + at_most_everything(spec[key], f"spec.{key}")
        causes += selectors.label_selector(spec.get("selector"), "spec.selector")
        policy, path = spec.get("unhealthyPodEvictionPolicy"), "spec.unhealthyPodEvictionPolicy"
        return causes + f.one_of(policy, path, ("AlwaysAllow", "IfHealthyBudget"))

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        status = f.as_dict(obj.get("status"))
        return conditions(f.as_list(status.get("conditions")), "status.conditions") + counts(status, *_COUNTERS)
