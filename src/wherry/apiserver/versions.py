"""One object, several versions: which version of a resource is stored, and the way there and back.

Most versions of a kind differ in apiVersion only. Where shapes differ (Events of two groups, HorizontalPodAutoscalers of
two versions) a pair of pure functions converts; both share what they do not change with their input.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from wherry.api.scheme import Resource, Scheme
from wherry.api.types import GVR, Obj

Converter = Callable[[Obj], Obj]

_MOVED = {("events.k8s.io", "events"): GVR("", "v1", "events")}
"""Resources that are stored as another group's."""
_STABILITY = {"alpha": 0, "beta": 1}


def stored_resource(scheme: Scheme, resource: Resource) -> Resource:
    """The resource whose version is written to storage for this one: the most stable, newest version."""
    moved = _MOVED.get((resource.group, resource.resource))
    if moved is not None:
        return scheme.resources[moved]
    siblings = [
        each
        for each in scheme.resources.values()
        if each.group == resource.group and each.resource == resource.resource
    ]
    return max(siblings, key=lambda each: _priority(each.version))


def _priority(version: str) -> tuple[int, int, int]:
    """v2 > v1 > v2beta1 > v1beta2 > v1alpha1."""
    for word, rank in _STABILITY.items():
        if word in version:
            major, _, minor = version[1:].partition(word)
            return rank, int(major), int(minor or 0)
    return 2, int(version[1:]) if version[1:].isdigit() else 0, 0


def converters(served: Resource, stored: Resource) -> tuple[Converter, Converter] | None:
    """(to storage, to the caller); None when both are the same."""
    if served == stored:
        return None
    to_stored, to_served = _SHAPES.get((served.group, served.version, served.resource), (_same, _same))

    def inward(obj: Obj) -> Obj:
        return {**to_stored(obj), "apiVersion": stored.api_version, "kind": stored.kind}

    def outward(obj: Obj) -> Obj:
        return {**to_served(obj), "apiVersion": served.api_version, "kind": served.kind}

    return inward, outward


def restored(stored: Resource, obj: Obj) -> Obj:
    """An object as another Kubernetes version stored it, in the version that is stored now."""
    version = obj["apiVersion"].rpartition("/")[2]
    to_stored, _ = _SHAPES.get((stored.group, version, stored.resource), (_same, _same))
    return {**to_stored(obj), "apiVersion": stored.api_version, "kind": stored.kind}


def _same(obj: Obj) -> Obj:
    return obj


# -- events.k8s.io/v1 <-> v1

_EVENT_FIELDS = {
    "note": "message",
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_EVENT_FIELDS_BACK = {core: new for new, core in _EVENT_FIELDS.items()}


def _event_to_core(obj: Obj) -> Obj:
    return {_EVENT_FIELDS.get(key, key): value for key, value in obj.items()}


def _event_from_core(obj: Obj) -> Obj:
    return {_EVENT_FIELDS_BACK.get(key, key): value for key, value in obj.items()}


# -- autoscaling/v1 <-> v2

_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_CURRENT = "autoscaling.alpha.kubernetes.io/current-metrics"


def _is_cpu(metric: Obj) -> bool:
    return metric.get("type") == "Resource" and (metric.get("resource") or {}).get("name") == "cpu"


def _cpu_metric(percent: int) -> Obj:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _hpa_to_v2(obj: Obj) -> Obj:
    """targetCPUUtilizationPercentage becomes a metric; what v1 cannot say comes back out of annotations."""
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = dict(obj.get("metadata", {}).get("annotations") or {})
    metrics = _from_annotation(annotations, _METRICS, [])
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        metrics = [_cpu_metric(percent), *metrics]
    if metrics:
        spec["metrics"] = metrics
    behavior = _from_annotation(annotations, _BEHAVIOR, None)
    if behavior:
        spec["behavior"] = behavior
    conditions = _from_annotation(annotations, _CONDITIONS, None)
    if conditions:
        status["conditions"] = conditions
    current = _from_annotation(annotations, _CURRENT, [])
    percent = status.pop("currentCPUUtilizationPercentage", None)
    if percent is not None:
        value = {"averageUtilization": percent}
        current = [{"type": "Resource", "resource": {"name": "cpu", "current": value}}, *current]
    if current:
        status["currentMetrics"] = current
    if not status.get("currentReplicas"):
        status.pop("currentReplicas", None)
    return _hpa(obj, annotations, spec, status)


def _hpa_to_v1(obj: Obj) -> Obj:
    """The first CPU utilization metric becomes targetCPUUtilizationPercentage; the rest goes into annotations."""
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = dict(obj.get("metadata", {}).get("annotations") or {})
    others: list[Obj] = []
    for metric in spec.pop("metrics", None) or []:
        percent = metric.get("resource", {}).get("target", {}).get("averageUtilization") if _is_cpu(metric) else None
        if percent is not None and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = percent
        else:
            others.append(metric)
    _to_annotation(annotations, _METRICS, others)
    _to_annotation(annotations, _BEHAVIOR, spec.pop("behavior", None))
    _to_annotation(annotations, _CONDITIONS, status.pop("conditions", None))
    rest: list[Obj] = []
    for metric in status.pop("currentMetrics", None) or []:
        percent = metric.get("resource", {}).get("current", {}).get("averageUtilization") if _is_cpu(metric) else None
        if percent is not None and "currentCPUUtilizationPercentage" not in status:
            status["currentCPUUtilizationPercentage"] = percent
        else:
            rest.append(metric)
    _to_annotation(annotations, _CURRENT, rest)
    if "status" in obj:
        status.setdefault("currentReplicas", 0)
        status.setdefault("desiredReplicas", 0)
    return _hpa(obj, annotations, spec, status)


def _hpa(obj: Obj, annotations: Obj, spec: Obj, status: Obj) -> Obj:
    metadata = {key: value for key, value in obj.get("metadata", {}).items() if key != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    result = {**obj, "metadata": metadata, "spec": spec}
    if "status" in obj or status:
        result["status"] = status
    return result


def _from_annotation(annotations: Obj, key: str, default: Any) -> Any:
    text = annotations.pop(key, None)
    try:
        return json.loads(text) if text else default
    except ValueError:
        return default


def _to_annotation(annotations: Obj, key: str, value: Any) -> None:
    if value:
        annotations[key] = json.dumps(value, separators=(",", ":"))


_SHAPES: dict[tuple[str, str, str], tuple[Converter, Converter]] = {
    ("events.k8s.io", "v1", "events"): (_event_to_core, _event_from_core),
    ("autoscaling", "v1", "horizontalpodautoscalers"): (_hpa_to_v2, _hpa_to_v1),
}
