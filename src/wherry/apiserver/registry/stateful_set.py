"""StatefulSets: stable names and claims, so most of the spec is for life."""

from __future__ import annotations

from typing import Any

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry import persistent_volume_claim as claims
from wherry.apiserver.registry.built_in import fill, masked, section
from wherry.apiserver.registry.deployment import amount, at_most_everything, is_zero
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import pod_spec, selectors
from wherry.apiserver.registry.workload import (
    Workload,
    at_most,
    collisions,
    counts,
    selector_rules,
    template_rules,
    usable,
)

_OPEN = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_CLOSED = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


class StatefulSetStrategy(Workload):
    empty_status = {"replicas": 0, "availableReplicas": 0}  # noqa: RUF012 - a constant

    def validate_name(self, name: str, prefix: bool = False) -> list[str]:
        return names.dns1123_label(masked(name) if prefix else name)

    def default(self, obj: Obj) -> None:
        super().default(obj)
        spec = obj["spec"]
        fill(spec, replicas=1, podManagementPolicy="OrderedReady", revisionHistoryLimit=10)
        spec.setdefault("serviceName", "")
        strategy = section(spec, "updateStrategy")
        fill(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            fill(section(strategy, "rollingUpdate"), partition=0)
        fill(section(spec, "persistentVolumeClaimRetentionPolicy"), whenDeleted="Retain", whenScaled="Retain")
        for claim in spec.get("volumeClaimTemplates") or []:
            fill(claim, kind="PersistentVolumeClaim", apiVersion="v1")
            claims.default_spec(section(claim, "spec"))
            fill(section(claim, "status"), phase="Pending")

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        selector = spec.get("selector")
        causes = _policies(spec)
        causes += f.non_negative(spec.get("replicas"), "spec.replicas")
        for key in ("minReadySeconds", "revisionHistoryLimit"):
            causes += f.non_negative(spec.get(key), f"spec.{key}")
        causes += f.non_negative((spec.get("ordinals") or {}).get("start"), "spec.ordinals.start")
        if spec.get("serviceName"):
            causes += f.each_invalid("spec.serviceName", spec["serviceName"], names.dns1123_label(spec["serviceName"]))
        if selector is None:
            causes.append(f.required("spec.selector"))
        causes += selector_rules(selector, "empty selector is invalid for statefulset")
        if usable(selector):
            return causes + template_rules(_with_claims(spec), "StatefulSet")
        causes.append(f.invalid("spec.selector", selectors.shown(selector)))
        return causes + pod_spec.template(f.as_dict(_with_claims(spec).get("template")), "spec.template")

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        new, stored = obj["spec"], old["spec"]
        keys = (new.keys() | stored.keys()) - set(_OPEN)
        return [f.forbidden("spec", _CLOSED)] if any(new.get(key) != stored.get(key) for key in keys) else []

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        status = f.as_dict(obj.get("status"))
        numbers = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
        causes = counts(status, "replicas", *numbers, "observedGeneration", "collisionCount")
        causes += at_most(status, numbers, "replicas", "status.replicas")
        causes += at_most(status, ("availableReplicas",), "readyReplicas", "status.readyReplicas")
        return causes + collisions(status, old)


def _with_claims(spec: Obj) -> Obj:
    """The spec as its pods see it: every claim template is a volume of that name."""
    claimed = [(claim.get("metadata") or {}).get("name") or "" for claim in spec.get("volumeClaimTemplates") or []]
    template = f.as_dict(spec.get("template"))
    if not claimed:
        return spec
    pod = f.as_dict(template.get("spec"))
    own = [volume for volume in f.as_list(pod.get("volumes")) if volume.get("name") not in claimed]
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claimed if name]
    return {**spec, "template": {**template, "spec": {**pod, "volumes": [*own, *volumes]}}}


def _policies(spec: Obj) -> list[Cause]:
    causes: list[Cause] = []
    management = spec.get("podManagementPolicy")
    if management not in ("OrderedReady", "Parallel"):
        causes.append(f.invalid("spec.podManagementPolicy", management, "must be 'OrderedReady' or 'Parallel'"))
    strategy, path = spec["updateStrategy"], "spec.updateStrategy"
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        if rolling is not None:
            detail = "only allowed for updateStrategy 'RollingUpdate'"
            causes.append(f.invalid(f"{path}.rollingUpdate", _shown(rolling), detail))
    elif kind == "RollingUpdate":
        causes += f.non_negative(rolling.get("partition"), f"{path}.rollingUpdate.partition")
        causes += _unavailable(rolling.get("maxUnavailable"), f"{path}.rollingUpdate.maxUnavailable")
    else:
        shown = {"Type": kind, "RollingUpdate": rolling if rolling is None else _shown(rolling)}
        causes.append(f.invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'"))
    retention = spec["persistentVolumeClaimRetentionPolicy"]
    for key in ("whenDeleted", "whenScaled"):
        at = f"spec.persistentVolumeClaimRetentionPolicy.{key}"
        causes += f.one_of(retention.get(key), at, ("Retain", "Delete"), need=True)
    return causes


def _unavailable(value: Any, path: str) -> list[Cause]:
    """How many of its pods may be missing while they are replaced: at least one."""
    if value is None:
        return []
    causes = amount(value, path)
    if is_zero(value) or (isinstance(value, str) and causes):
        causes.append(f.invalid(path, value, "cannot be 0"))
    return causes + at_most_everything(value, path)


def _shown(rolling: Obj) -> dict[str, Any]:
    return {"Partition": rolling.get("partition"), "MaxUnavailable": rolling.get("maxUnavailable")}
