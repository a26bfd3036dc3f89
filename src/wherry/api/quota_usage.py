"""What an object takes of a ResourceQuota, and whether the quota's scopes mean it. Pure.

Shared by admission, which refuses what would be too much, and by the controller that says in the status what is used.
Source: the documented resource names and scopes of "Resource Quotas".
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.pod_amounts import pod_amounts
from wherry.api.quantity import Quantity
from wherry.api.types import Obj

_COUNTED = {
    "pods": ("", "pods"),
    "services": ("", "services"),
    "secrets": ("", "secrets"),
    "configmaps": ("", "configmaps"),
    "persistentvolumeclaims": ("", "persistentvolumeclaims"),
    "replicationcontrollers": ("", "replicationcontrollers"),
    "resourcequotas": ("", "resourcequotas"),
}
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
ZERO = Quantity.parse("0")


def applies(spec: Obj, obj: Obj, resource: str) -> bool:
    """Whether an object falls into a quota's scopes."""
    scopes = list(spec.get("scopes") or [])
    expressions = (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    if not scopes and not expressions:
        return True
    if resource != "pods":
        return False
    return all(_in_scope(scope, "Exists", [], obj) for scope in scopes) and all(
        _in_scope(each.get("scopeName", ""), each.get("operator", ""), each.get("values") or [], obj)
        for each in expressions
    )


def _in_scope(scope: str, operator: str, values: list[str], pod: Obj) -> bool:
    spec = pod["spec"]
    if scope == "PriorityClass":
        name = spec.get("priorityClassName") or ""
        found = {"In": name in values, "NotIn": name not in values, "Exists": bool(name), "DoesNotExist": not name}
        return found.get(operator, False)
    terminating = spec.get("activeDeadlineSeconds") is not None
    best_effort = not any(
        ((holder.get("resources") or {}).get(side) or {}).get(name)
        for holder in (spec, *(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
        for side in ("limits", "requests")
        for name in ("cpu", "memory")
    )
    across = any(
        term.get("namespaces") or term.get("namespaceSelector") is not None
        for kind in ("podAffinity", "podAntiAffinity")
        for term in _affinity_terms((spec.get("affinity") or {}).get(kind) or {})
    )
    return {
        "Terminating": terminating,
        "NotTerminating": not terminating,
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
        "CrossNamespacePodAffinity": across,
    }.get(scope, False)


def _affinity_terms(affinity: Obj) -> Iterable[Obj]:
    """Required and preferred ones."""
    yield from affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    for each in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
        yield each.get("podAffinityTerm") or {}


def usage(obj: Obj, group: str, resource: str, keys: Iterable[str]) -> dict[str, Quantity]:
    """What one object takes of the quota's `keys`; those it has nothing to do with are left out."""
    found: dict[str, Quantity] = {}
    one = Quantity.parse("1")
    qualified = f"{resource}.{group}" if group else resource
    ended = resource == "pods" and (obj.get("status") or {}).get("phase") in ("Failed", "Succeeded")
    for key in keys:
        if key == f"count/{qualified}":
            found[key] = one
        elif key in _COUNTED and _COUNTED[key] == (group, resource):
            if not ended:
                found[key] = one
        elif (group, resource) == ("", "pods") and not ended:
            _pod_amount(obj, key, found)
        elif (group, resource) == ("", "services"):
            _service_amount(obj["spec"], key, found)
        elif (group, resource) == ("", "persistentvolumeclaims"):
            _claim_amount(obj["spec"], key, found)
    return found


def _pod_amount(pod: Obj, key: str, found: dict[str, Quantity]) -> None:
    side, name = compute_key(key)
    if not side:
        return
    found[key] = pod_amounts(pod["spec"], side).get(name, ZERO)


def compute_key(key: str) -> tuple[str, str]:
    """`requests.cpu`, `cpu` -> ("requests", "cpu"); ("", "") for keys that are no amounts of pods."""
    side, dot, name = key.partition(".")
    if dot and side in ("requests", "limits") and name in _COMPUTE:
        return side, name
    if dot and side == "requests" and (_is_extended(name) or name.startswith("hugepages-")):
        return side, name
    return ("requests", key) if key in _COMPUTE or key.startswith("hugepages-") else ("", "")


def _is_extended(name: str) -> bool:
    """`example.com/gpu`: a resource that is not Kubernetes' own."""
    return "/" in name and "storageclass.storage.k8s.io" not in name


def _service_amount(spec: Obj, key: str, found: dict[str, Quantity]) -> None:
    kind = spec.get("type")
    if key == "services.loadbalancers":
        found[key] = Quantity.from_value(1 if kind == "LoadBalancer" else 0)
    elif key == "services.nodeports":
        ports = len(spec.get("ports") or [])
        takes = kind == "NodePort" or (
            kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
        )
        found[key] = Quantity.from_value(ports if takes else 0)


def _claim_amount(spec: Obj, key: str, found: dict[str, Quantity]) -> None:
    storage = Quantity.parse(((spec.get("resources") or {}).get("requests") or {}).get("storage") or "0")
    storage_class = spec.get("storageClassName") or ""
    if key == "requests.storage" or key == f"{storage_class}.storageclass.storage.k8s.io/requests.storage":
        found[key] = storage
    elif key == f"{storage_class}.storageclass.storage.k8s.io/persistentvolumeclaims":
        found[key] = Quantity.from_value(1)


def resource_of(key: str) -> tuple[str, str] | None:
    """(group, resource) of the objects that a key of `spec.hard` counts; None for a key that means none."""
    if key.startswith("count/"):
        resource, _, group = key.removeprefix("count/").partition(".")
        return group, resource
    if key in _COUNTED:
        return _COUNTED[key]
    if compute_key(key)[0]:
        return "", "pods"
    if key.startswith("services."):
        return "", "services"
    return ("", "persistentvolumeclaims") if "storage" in key else None
