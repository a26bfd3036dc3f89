"""Where one object names another: what a changed name (prefix, suffix, content hash) must be carried to.

A table of paths, `[]` walking a list; relative to a pod spec or to the object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from wherry.api.types import Obj
from wherry.cli.sources.bundle import containers, pod_specs

IN_POD_SPEC: dict[str, tuple[str, ...]] = {
    "ConfigMap": ("volumes.[].configMap.name", "volumes.[].projected.sources.[].configMap.name"),
    "Secret": (
        "volumes.[].secret.secretName",
        "volumes.[].projected.sources.[].secret.name",
        "imagePullSecrets.[].name",
    ),
    "PersistentVolumeClaim": ("volumes.[].persistentVolumeClaim.claimName",),
    "ServiceAccount": ("serviceAccountName",),
    "PriorityClass": ("priorityClassName",),
}
IN_CONTAINER: dict[str, tuple[str, ...]] = {
    "ConfigMap": ("envFrom.[].configMapRef.name", "env.[].valueFrom.configMapKeyRef.name"),
    "Secret": ("envFrom.[].secretRef.name", "env.[].valueFrom.secretKeyRef.name"),
}
IN_OBJECT: dict[tuple[str, str], tuple[str, ...]] = {
    ("StatefulSet", "Service"): ("spec.serviceName",),
    ("Ingress", "Service"): (
        "spec.defaultBackend.service.name",
        "spec.rules.[].http.paths.[].backend.service.name",
    ),
    ("Ingress", "Secret"): ("spec.tls.[].secretName",),
    ("ServiceAccount", "Secret"): ("secrets.[].name", "imagePullSecrets.[].name"),
}

Rename = Callable[[str, str], str]
"""(kind, old name) -> new name."""


def rename(obj: Obj, new_name: Rename) -> None:
    """Carry new names into every reference of `obj`, in place."""
    for spec in pod_specs(obj):
        _apply(spec, IN_POD_SPEC, new_name)
    for container in containers(obj):
        _apply(container, IN_CONTAINER, new_name)
    own = {named: paths for (kind, named), paths in IN_OBJECT.items() if kind == obj.get("kind")}
    _apply(obj, own, new_name)
    if obj.get("kind") == "HorizontalPodAutoscaler":
        target = obj.get("spec", {}).get("scaleTargetRef") or {}
        if "name" in target:
            target["name"] = new_name(target.get("kind", ""), target["name"])
    if obj.get("kind") in ("RoleBinding", "ClusterRoleBinding"):
        for reference in [obj.get("roleRef") or {}, *(obj.get("subjects") or [])]:
            if "name" in reference:
                reference["name"] = new_name(reference.get("kind", ""), reference["name"])


def _apply(root: Any, table: dict[str, tuple[str, ...]], new_name: Rename) -> None:
    for kind, paths in table.items():
        for path in paths:
            *parents, last = path.split(".")
            for holder in _walk(root, parents):
                if isinstance(holder, dict) and isinstance(holder.get(last), str):
                    holder[last] = new_name(kind, holder[last])


def _walk(node: Any, steps: list[str]) -> Iterator[Any]:
    if not steps:
        yield node
    elif steps[0] == "[]":
        for item in node if isinstance(node, list) else []:
            yield from _walk(item, steps[1:])
    elif isinstance(node, dict) and steps[0] in node:
        yield from _walk(node[steps[0]], steps[1:])
