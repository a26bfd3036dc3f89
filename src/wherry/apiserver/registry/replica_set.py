"""ReplicaSets and their elder, ReplicationControllers."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import fill, quantity_text, section
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import selectors
from wherry.apiserver.registry.workload import Workload, at_most, counts, selector_rules, template_rules, usable


class ReplicaSetStrategy(Workload):
    empty_status = {"replicas": 0}  # noqa: RUF012 - a constant

    def default(self, obj: Obj) -> None:
        super().default(obj)
        fill(obj["spec"], replicas=1)

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        selector = spec.get("selector")
        causes = f.non_negative(spec.get("replicas"), "spec.replicas")
        causes += f.non_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
        if selector is None:
            causes.append(f.required("spec.selector"))
        # Kubernetes speaks of a deployment here as well.
        causes += selector_rules(selector, "empty selector is invalid for deployment")
        if usable(selector):
            return causes + template_rules(spec, "ReplicaSet")
        return [*causes, f.invalid("spec.selector", selectors.shown(selector), "invalid label selector")]

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return selectors.unchanged(obj["spec"].get("selector"), old["spec"].get("selector"), "spec.selector")

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        status = f.as_dict(obj.get("status"))
        numbers = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
        causes = counts(status, "replicas", *numbers, "observedGeneration")
        causes += at_most(status, numbers, "replicas", "status.replicas")
        return causes + at_most(status, ("availableReplicas",), "readyReplicas", "readyReplicas")


class ReplicationControllerStrategy(ReplicaSetStrategy):
    """Its selector is a plain map and defaults to the template's labels; its pods outlive it unless someone says else."""

    default_orphan = True

    def default(self, obj: Obj) -> None:
        spec = section(obj, "spec")
        if spec.get("template") is None:
            return  # refused; only its absence is to be told
        super().default(obj)
        labels = section(spec["template"], "metadata").get("labels")
        if labels and not spec.get("selector"):
            spec["selector"] = dict(labels)
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        selector = f.as_dict(spec.get("selector"))
        causes = f.non_negative(spec.get("replicas"), "spec.replicas")
        causes += f.non_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
        if not selector:
            causes.append(f.required("spec.selector"))
        if spec.get("template") is None:
            return [*causes, f.required("spec.template")]
        as_labels = {"matchLabels": selector} if selector else {}
        return causes + template_rules({**spec, "selector": as_labels}, "ReplicationController")

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return []

    def fields(self, obj: Obj) -> Mapping[str, str]:
        return {"status.replicas": quantity_text(obj, "status", "replicas")}
