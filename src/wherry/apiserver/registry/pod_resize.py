"""What `/resize` of a pod may change: amounts of cpu and memory, never the pod's quality of service."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.pod import qos_class
from wherry.apiserver.registry.validation import field as f

_MUTABLE = ("cpu", "memory")
_MIRROR = "kubernetes.io/config.mirror"


def rules(obj: Obj, old: Obj) -> list[Cause]:
    causes: list[Cause] = []
    if f.as_dict(old["spec"].get("os")).get("name") == "windows":
        causes.append(f.forbidden("spec", "windows pods cannot be resized"))
    if _MIRROR in f.as_dict(old["metadata"].get("annotations")):
        causes.append(f.forbidden("spec", "static pods cannot be resized"))
    before, now = qos_class(old["spec"]), qos_class(obj["spec"])
    if before != now:
        causes.append(f.invalid("spec", now, "Pod QOS Class may not change as a result of resizing"))
    for new, stored, path in _resources(obj["spec"], old["spec"]):
        causes += _removed(new, stored, path)
    if any(_others(new) != _others(stored) for new, stored, _ in _resources(obj["spec"], old["spec"])):
        causes.append(f.forbidden("spec", "only cpu and memory resources are mutable"))
    return causes


def _resources(new: Obj, old: Obj) -> Iterator[tuple[Obj, Obj, str]]:
    """(wanted, stored, path) of the resources of each container."""
    for i, (container, before) in enumerate(
        zip(f.as_list(new.get("containers")), f.as_list(old.get("containers")), strict=True)
    ):
        path = f"spec.containers[{i}].resources"
        yield f.as_dict(container.get("resources")), f.as_dict(before.get("resources")), path


def _removed(new: Obj, old: Obj, path: str) -> list[Cause]:
    return [
        f.forbidden(f"{path}.{side}", f"resource {side} cannot be removed")
        for side in ("limits", "requests")
        for name in f.as_dict(old.get(side))
        if name in _MUTABLE and name not in f.as_dict(new.get(side))
    ]


def _others(resources: Obj) -> list[Obj]:
    """The amounts nobody may resize, by side."""
    sides = [f.as_dict(resources.get(side)) for side in ("limits", "requests")]
    return [{name: value for name, value in amounts.items() if name not in _MUTABLE} for amounts in sides]
