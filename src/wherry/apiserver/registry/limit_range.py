"""LimitRanges: bounds for what one container, pod or claim may take."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn
from wherry.apiserver.registry.pod_defaults import canonical_list
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import resources

_BOUNDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


class LimitRangeStrategy(BuiltIn):
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
            causes += f.qualified(kind, f"{at}.type")
            if kind in seen:
                causes.append(f.duplicate(f"{at}.type", kind))
            seen.add(kind)
            causes += _item(item, kind, at)
        return causes


def _containers(item: Obj) -> None:
    """A maximum is the limit of those who say none, a limit the request of those who say none."""
    limits = {**(item.get("max") or {}), **(item.get("default") or {})}
    requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
    for key, value in (("default", limits), ("defaultRequest", requests)):
        if value:
            item[key] = value


def _item(item: Obj, kind: str, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if kind == "Pod":
        causes += [
            f.forbidden(f"{path}.{key}", "may not be specified when `type` is 'Pod'")
            for key in ("default", "defaultRequest")
            if item.get(key)
        ]
    if kind == "PersistentVolumeClaim" and not any("storage" in f.as_dict(item.get(key)) for key in ("min", "max")):
        causes.append(
            f.required(
                f"{path}.limits", "either minimum or maximum storage value is required, but neither was provided"
            )
        )
    names = dict.fromkeys(name for key in _BOUNDS for name in f.as_dict(item.get(key)))
    for name in names:
        for key in _BOUNDS:
            if name in f.as_dict(item.get(key)):
                causes += resources.resource_name(name, f"{path}.{key}[{name}]")
        causes += _order(item, name, path)
    return causes


def _order(item: Obj, name: str, path: str) -> list[Cause]:
    """min <= defaultRequest <= default <= max."""
    given = [(key, f.as_dict(item.get(key)).get(name)) for key in ("min", "defaultRequest", "default", "max")]
    present = [(key, value) for key, value in given if value is not None]
    words = {"min": "min", "max": "max", "default": "default", "defaultRequest": "default request"}
    causes: list[Cause] = []
    for i, (low_key, low) in enumerate(present):
        for high_key, high in present[i + 1 :]:
            if Quantity.parse(low) > Quantity.parse(high):
                detail = f"{words[low_key]} value {low} is greater than {words[high_key]} value {high}"
                causes.append(f.invalid(f"{path}.{low_key}[{name}]", str(low), detail))
    return causes
