"""HorizontalPodAutoscalers, stored as autoscaling/v2: what to scale, between which bounds, by what."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, fill
from wherry.apiserver.registry.validation import autoscaling as rules
from wherry.apiserver.registry.validation import field as f

_PERCENT = {"type": "Percent", "value": 100, "periodSeconds": 15}
_PODS = {"type": "Pods", "value": 4, "periodSeconds": 15}


class HorizontalPodAutoscalerStrategy(BuiltIn):
    has_generation = False
    empty_status = {"desiredReplicas": 0, "currentMetrics": None}  # noqa: RUF012 - a constant

    def default(self, obj: Obj) -> None:
        super().default(obj)
        spec = obj["spec"]
        fill(spec, minReplicas=1)
        spec.setdefault("maxReplicas", 0)
        if not spec.get("metrics"):
            target = {"type": "Utilization", "averageUtilization": 80}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
        behavior = f.as_dict(spec.get("behavior"))
        if behavior.get("scaleUp") is not None:
            up = behavior["scaleUp"]
            fill(up, stabilizationWindowSeconds=0, selectPolicy="Max", policies=[dict(_PODS), dict(_PERCENT)])
        if behavior.get("scaleDown") is not None:
            fill(behavior["scaleDown"], selectPolicy="Max", policies=[dict(_PERCENT)])
        status = obj.get("status")
        if status is not None:
            status.setdefault("desiredReplicas", 0)
            status.setdefault("currentMetrics", None)

    def validate(self, obj: Obj) -> list[Cause]:
        return rules.spec(obj["spec"], "spec")

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        status = f.as_dict(obj.get("status"))
        keys = ("currentReplicas", "desiredReplicas")
        return [cause for key in keys for cause in f.non_negative(status.get(key), f"status.{key}")]
