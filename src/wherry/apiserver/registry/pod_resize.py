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
        causes += _amounts(new, stored, path)
    return causes


def _resources(new: Obj, old: Obj) -> Iterator[tuple[Obj, Obj, str]]:
    """(wanted, stored, path) of the resources of each container."""
    for i, (container, before) in enumerate(
        zip(f.as_list(new.get("containers")), f.as_list(old.get("containers")), strict=True)
    ):
        path = f"spec.containers[{i}].resources"
        yield f.as_dict(container.get("resources")), f.as_dict(before.get("resources")), path


def _amounts(new: Obj, old: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for side in ("limits", "requests"):
        wanted, stored = f.as_dict(new.get(side)), f.as_dict(old.get(side))
        others = [name for name in {**stored, **wanted} if name not in _MUTABLE]
        if any(wanted.get(name) != stored.get(name) for name in others):
            causes.append(f.forbidden("spec", "only cpu and memory resources are mutable"))
        gone = [name for name in stored if name in _MUTABLE and name not in wanted]
        causes += [f.forbidden(f"{path}.{side}", f"resource {side} cannot be removed") for _ in gone]
    return causes
