"""What makes the spec of a HorizontalPodAutoscaler impossible."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f

_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_LOOKED_AT = ("object", "external", "pods", "resource", "containerResource")
_WITHOUT_VALUE = {
    "object": "must set either a target value or averageValue",
    "external": "must set either a target value for metric or a per-pod target",
    "pods": "must specify a positive target averageValue",
}
_POLICY_SELECTS = ("Disabled", "Max", "Min")
_MAX_WINDOW, _MAX_PERIOD = 3600, 1800


def spec(value: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    low, high = value["minReplicas"], value["maxReplicas"]
    metrics = f.as_list(value.get("metrics"))
    if low < 1:
        causes.append(f.invalid(f"{path}.minReplicas", low, "must be greater than or equal to 1"))
    if high < 1:
        causes.append(f.required(f"{path}.maxReplicas", "must be set and greater than 0"))
    if high < low:
        causes.append(f.invalid(f"{path}.maxReplicas", high, "must be greater than or equal to `minReplicas`"))
    causes += _reference(f.as_dict(value.get("scaleTargetRef")), f"{path}.scaleTargetRef", need_group=True)
    for i, metric in enumerate(metrics):
        causes += _metric(metric, f"{path}.metrics[{i}]")
    if low == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        causes.append(f.forbidden(f"{path}.metrics", detail))
    behavior = f.as_dict(value.get("behavior"))
    for key in ("scaleUp", "scaleDown"):
        if behavior.get(key) is not None:
            causes += _behavior(behavior[key], f"{path}.behavior.{key}")
    return causes


def _reference(reference: Obj, path: str, need_group: bool = False) -> list[Cause]:
    causes: list[Cause] = []
    for key in ("kind", "name"):
        text = reference.get(key) or ""
        causes += (
            f.each_invalid(f"{path}.{key}", text, names.path_segment(text)) if text else [f.required(f"{path}.{key}")]
        )
    version = reference.get("apiVersion") or ""
    if need_group and not version:
        causes.append(f.invalid(f"{path}.apiVersion", version, "apiVersion must specify API group"))
    return causes


def _metric(metric: Obj, path: str) -> list[Cause]:
    """Only the first source that is there is looked into, be it the one the type asks for or not."""
    kind = metric.get("type") or ""
    unknown = [] if kind in _SOURCES else [f.not_supported(f"{path}.type", kind, _SOURCES)]
    causes = [*unknown] if kind else [f.required(f"{path}.type", "must specify a metric source type"), *unknown]
    present = [key for key in _LOOKED_AT if metric.get(key) is not None]
    if present:
        causes += _source(metric[present[0]], present[0], f"{path}.{present[0]}")
    wanted = _SOURCES.get(kind)
    if wanted is not None and metric.get(wanted) is None:
        causes.append(f.required(f"{path}.{wanted}", "must populate information for the given metric source"))
    causes += unknown  # Kubernetes says so twice: once for the type, once because no source can match it
    if len(present) != 1:
        others = [key for key in present if key != wanted]
        causes += [f.forbidden(f"{path}.{key}", "must populate the given metric source only") for key in others]
    return causes


def _source(source: Obj, key: str, path: str) -> list[Cause]:
    target = f.as_dict(source.get("target"))
    causes = _target(target, f"{path}.target")
    if key in ("resource", "containerResource"):
        return causes + _resource(source, target, path, key)
    if key == "object":
        causes += _reference(f.as_dict(source.get("describedObject")), f"{path}.describedObject")
    name = f.as_dict(source.get("metric")).get("name") or ""
    if not name:
        causes.append(f.required(f"{path}.metric.name", "must specify a metric name"))
    causes += f.each_invalid(f"{path}.metric.name", name, names.path_segment(name))
    whole, share = target.get("value"), target.get("averageValue")
    if share is None and (whole is None or key == "pods"):
        causes.append(f.required(f"{path}.target.averageValue", _WITHOUT_VALUE[key]))
    if key == "external" and share is not None and whole is not None:
        detail = "may not set both a target value for metric and a per-pod target"
        causes.append(f.forbidden(f"{path}.target.value", detail))
    return causes


def _positive(value: str | None) -> bool:
    return value is not None and Quantity.parse(value) > Quantity.parse("0")


def _resource(source: Obj, target: Obj, path: str, key: str) -> list[Cause]:
    causes: list[Cause] = []
    if key == "containerResource" and not source.get("container"):
        causes.append(f.required(f"{path}.container", "must specify a container"))
    if not source.get("name"):
        causes.append(f.required(f"{path}.name", "must specify a resource name"))
    share, raw = target.get("averageUtilization"), target.get("averageValue")
    if share is None and raw is None:
        detail = "must set either a target raw value or a target utilization"
        causes.append(f.required(f"{path}.target.averageUtilization", detail))
    if share is not None and raw is not None:
        detail = "may not set both a target raw value and a target utilization"
        causes.append(f.forbidden(f"{path}.target.averageValue", detail))
    return causes


def _target(target: Obj, path: str) -> list[Cause]:
    kind = target.get("type") or ""
    causes: list[Cause] = []
    if not kind:
        causes.append(f.required(f"{path}.type", "must specify a metric target type"))
    if kind not in ("Utilization", "Value", "AverageValue"):
        causes.append(f.invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue"))
    share = target.get("averageUtilization")
    if share is not None and share < 1:
        causes.append(f.invalid(f"{path}.averageUtilization", share, "must be greater than 0"))
    given = [key for key in ("value", "averageValue") if target.get(key) is not None]
    return causes + [
        f.invalid(f"{path}.{key}", str(target[key]), "must be positive") for key in given if not _positive(target[key])
    ]


def _behavior(rules: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    window = rules.get("stabilizationWindowSeconds")
    if window is not None:
        causes += f.non_negative(window, f"{path}.stabilizationWindowSeconds")
        if window > _MAX_WINDOW:
            detail = f"must be less than or equal to {_MAX_WINDOW}"
            causes.append(f.invalid(f"{path}.stabilizationWindowSeconds", window, detail))
    causes += f.one_of(rules.get("selectPolicy"), f"{path}.selectPolicy", _POLICY_SELECTS)
    policies = f.as_list(rules.get("policies"))
    if not policies:
        causes.append(f.required(f"{path}.policies", "must specify at least one Policy"))
    for i, policy in enumerate(policies):
        at = f"{path}.policies[{i}]"
        causes += f.one_of(policy.get("type"), f"{at}.type", ("Percent", "Pods"), need=True)
        for key in ("value", "periodSeconds"):
            number = policy.get(key) or 0
            if number <= 0:
                causes.append(f.invalid(f"{at}.{key}", number, "must be greater than zero"))
        if (policy.get("periodSeconds") or 0) > _MAX_PERIOD:
            detail = f"must be less than or equal to {_MAX_PERIOD}"
            causes.append(f.invalid(f"{at}.periodSeconds", policy["periodSeconds"], detail))
    tolerance = rules.get("tolerance")
    if tolerance is not None and Quantity.parse(str(tolerance)).milli_value() < 0:
        causes.append(f.invalid(f"{path}.tolerance", str(tolerance), f.NON_NEGATIVE))
    return causes
