"""PriorityClasses: a number for life; the highest ones are the system's."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import fill
from wherry.apiserver.registry.strategy import Strategy
from wherry.apiserver.registry.validation import field as f

HIGHEST_USER_VALUE = 1_000_000_000
SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_UNCHANGED = "may not be changed in an update."


class PriorityClassStrategy(Strategy):
    def default(self, obj: Obj) -> None:
        fill(obj, preemptionPolicy="PreemptLowerPriority")
        obj.setdefault("value", 0)

    def validate(self, obj: Obj) -> list[Cause]:
        name, value = obj["metadata"].get("name") or "", obj["value"]
        causes: list[Cause] = []
        if name.startswith("system-"):
            if SYSTEM_CLASSES.get(name) != value:
                detail = "priority class names with 'system-' prefix are reserved for system use only. error: "
                if name in SYSTEM_CLASSES:
                    detail += f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}"
                else:
                    detail += f"{name} is not a known system priority class"
                causes.append(f.forbidden("metadata.name", detail))
        elif value > HIGHEST_USER_VALUE:
            detail = f"maximum allowed value of a user defined priority is {HIGHEST_USER_VALUE}"
            causes.append(f.forbidden("value", detail))
        policies = ("PreemptLowerPriority", "Never")
        return causes + f.one_of(obj.get("preemptionPolicy"), "preemptionPolicy", policies)

    def kept_for_good(self, obj: Obj) -> str:
        return (
            "this is a system priority class and cannot be deleted" if obj["metadata"]["name"] in SYSTEM_CLASSES else ""
        )

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        causes = [] if obj["value"] == old.get("value", 0) else [f.forbidden("value", _UNCHANGED)]
        return causes + f.unchanged(obj.get("preemptionPolicy"), old.get("preemptionPolicy"), "preemptionPolicy")
