"""What `/resize` of a pod may change: amounts of cpu and memory of its containers and sidecars, never the pod's quality of
service."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.pod import qos_class
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.pod_annotations import MIRROR

_MUTABLE = ("cpu", "memory")
_KINDS = ("containers", "initContainers")


def taken(spec: Obj, old: Obj) -> Obj:
    """The stored spec with the resources that were sent; containers are known by their names."""
    result = dict(old)
    for kind in _KINDS:
        sent = {each.get("name"): each for each in f.as_list(spec.get(kind))}
        if kind in old:
            result[kind] = [_with_resources(each, f.as_dict(sent.get(each["name"]))) for each in old[kind]]
    return result


def _with_resources(container: Obj, sent: Obj) -> Obj:
    given = {key: sent[key] for key in ("resources", "resizePolicy") if sent.get(key) is not None}
    return {**container, **given}


def rules(obj: Obj, old: Obj) -> list[Cause]:
    """Beyond what is wrong with the pod by itself."""
    before, now = qos_class(old["spec"]), qos_class(obj["spec"])
    causes: list[Cause] = []
    if before != now:
        causes.append(f.invalid("spec", before, "Pod QOS Class may not change as a result of resizing"))
    for kind in reversed(_KINDS):
        pairs = zip(f.as_list(obj["spec"].get(kind)), f.as_list(old["spec"].get(kind)), strict=True)
        for i, (container, stored) in enumerate(pairs):
            causes += _container(container, stored, kind == "initContainers", f"spec.{kind}[{i}].resources")
    return causes


def unsupported(old: Obj) -> list[Cause]:
    """Pods nobody resizes; nothing else is said of them."""
    if MIRROR in f.as_dict(old["metadata"].get("annotations")):
        return [f.forbidden("[]", "static pods cannot be resized")]
    if f.as_dict(old["spec"].get("os")).get("name") == "windows":
        return [f.forbidden("[]", "windows pods cannot be resized")]
    return []


def _container(new: Obj, old: Obj, init: bool, path: str) -> list[Cause]:
    if init and old.get("restartPolicy") != "Always":
        if new == old:
            return []
        return [f.forbidden("spec", "resources for non-sidecar init containers are immutable")]
    wanted, stored = f.as_dict(new.get("resources")), f.as_dict(old.get("resources"))
    causes = [
        f.forbidden(f"{path}.{side}", f"resource {side} cannot be removed")
        for side in ("requests", "limits")
        if f.as_dict(stored.get(side)).keys() - f.as_dict(wanted.get(side)).keys()
    ]
    if _fixed(new) != _fixed(old):
        whose = "resources for sidecar containers" if init else "resources"
        causes.append(f.forbidden("spec", f"only cpu and memory {whose} are mutable"))
    return causes


def _fixed(container: Obj) -> Obj:
    """All of it but the amounts that may change."""
    resources = f.as_dict(container.get("resources"))
    kept = {
        side: {name: value for name, value in f.as_dict(resources.get(side)).items() if name not in _MUTABLE}
        for side in ("limits", "requests")
    }
    return {**container, "resources": {**resources, **kept}}
