"""LimitRanges: bounds for what one container, pod or claim may take."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wherry.api.errors import Cause
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn
from wherry.apiserver.registry.pod_defaults import canonical_list
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import resources

_BOUNDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


class LimitRangeStrategy(BuiltIn):
    allow_create_on_update = True
    has_generation = False

    def default(self, obj: Obj) -> None:
        super().default(obj)
        for item in f.as_list(obj["spec"].get("limits")):
            for key in _BOUNDS:
                if item.get(key):
                    item[key] = canonical_list(item[key])
            if item.get("type") == "Container":
                _containers(item)

    def validate(self, obj: Obj) -> list[Cause]:
        causes: list[Cause] = []
        seen: set[str] = set()
        for i, item in enumerate(f.as_list(obj["spec"].get("limits"))):
            at, kind = f"spec.limits[{i}]", item.get("type") or ""
            causes += f.qualified(kind, f"{at}.type") or _standard(kind, f"{at}.type")
            if kind in seen:
                causes.append(f.duplicate(f"{at}.type", kind))
            seen.add(kind)
            causes += _item(item, kind, at)
        return causes


def _standard(kind: str, path: str) -> list[Cause]:
    """Types without a domain are Kubernetes' own."""
    if "/" in kind or kind in ("Pod", "Container", "PersistentVolumeClaim"):
        return []
    return [f.invalid(path, kind, "must be a standard limit type or fully qualified")]


def _containers(item: Obj) -> None:
    """A maximum is the limit of those who say none, a limit the request of those who say none."""
    limits = {**(item.get("max") or {}), **(item.get("default") or {})}
    requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
    for key, value in (("default", limits), ("defaultRequest", requests)):
        if value:
            item[key] = value


def _item(item: Obj, kind: str, path: str) -> list[Cause]:
    named = resources.container_resource_name if kind in ("Pod", "Container") else resources.resource_name
    causes: list[Cause] = []
    for key in ("max", "min"):
        causes += _names(item, key, named, path)
    for key in ("default", "defaultRequest"):
        if kind == "Pod" and item.get(key):
            causes.append(f.forbidden(f"{path}.{key}", "may not be specified when `type` is 'Pod'"))
        elif kind != "Pod":
            causes += _names(item, key, named, path)
    if kind == "PersistentVolumeClaim" and not any("storage" in f.as_dict(item.get(key)) for key in ("min", "max")):
        detail = "either minimum or maximum storage value is required, but neither was provided"
        causes.append(f.required(f"{path}.limits", detail))
    causes += _names(item, "maxLimitRequestRatio", named, path)
    for name in dict.fromkeys(name for key in _BOUNDS for name in f.as_dict(item.get(key))):
        given = {key: f.as_dict(item.get(key)).get(name) for key in _BOUNDS}
        causes += _order({key: Quantity.parse(value) for key, value in given.items() if value is not None}, name, path)
    return causes


def _names(item: Obj, key: str, named: Callable[[str, str], list[Cause]], path: str) -> list[Cause]:
    return [cause for name in f.as_dict(item.get(key)) for cause in named(name, f"{path}.{key}[{name}]")]


_ORDER = (
    ("min", "max", "min", "min", "min", "max"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest", "min", "default request"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest", "default request", "max"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest", "default request", "default limit"),
    ("min", "default", "default", "min", "min", "default"),
    ("default", "max", "default", "max", "default", "max"),
)
"""(the lower, the higher, whose path, whose value is shown, words of the lower and the higher), as Kubernetes says them."""


def _order(given: Mapping[str, Quantity], name: str, path: str) -> list[Cause]:
    """min <= defaultRequest <= default <= max, and a ratio that these allow."""
    causes: list[Cause] = []
    for low, high, at, value, low_word, high_word in _ORDER:
        if low in given and high in given and given[low] > given[high]:
            detail = f"{low_word} value {given[low]} is greater than {high_word} value {given[high]}"
            causes.append(f.invalid(f"{path}.{at}[{name}]", str(given[value]), detail))
    asked, limit = given.get("defaultRequest"), given.get("default")
    if asked is not None and limit is not None and asked != limit and not resources.may_overcommit(name):
        detail = f"default value {limit} must equal to defaultRequest value {asked} in {name}"
        causes.append(f.invalid(f"{path}.defaultRequest[{name}]", str(asked), detail))
    ratio, low_bound, high_bound = (given.get(key) for key in ("maxLimitRequestRatio", "min", "max"))
    if ratio is None:
        return causes
    at = f"{path}.maxLimitRequestRatio[{name}]"
    if ratio < Quantity.parse("1"):
        causes.append(f.invalid(at, str(ratio), f"ratio {ratio} is less than 1"))
    if low_bound is not None and high_bound is not None and not low_bound.is_zero():
        most = high_bound.milli_value() / low_bound.milli_value()
        if ratio.milli_value() / 1000 > most:
            causes.append(f.invalid(at, str(ratio), f"ratio {ratio} is greater than max/min = {most:f}"))
    return causes
