"""ResourceQuota: what a namespace may hold in all. Usage is counted from the objects themselves, so it never drifts.

Counted at every write that takes more in a namespace that has a quota: one pass over the objects the quota speaks of,
and over what other requests are writing at this moment. A write is under way from its check until it is durable or has
failed, so that of many at the same time none takes the other's place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wherry.api.quantity import Quantity
from wherry.api.types import GVR, Obj
from wherry.apiserver.admission.request import AdmissionRequest

RESOURCE_QUOTAS = GVR("", "v1", "resourcequotas")
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


class ResourceQuota:
    def __init__(self) -> None:
        self._under_way: dict[tuple[GVR, str], list[Obj]] = {}

    async def validate(self, request: AdmissionRequest) -> None:
        draft = request.object
        if draft is None or not request.namespace or not _counts(request):
            return
        quotas = list(request.context.read.list(RESOURCE_QUOTAS, request.namespace))
        for quota in quotas:
            self._check_quota(request, quota, draft)
        if quotas:
            self._announce(request, draft)

    def _check_quota(self, request: AdmissionRequest, quota: Obj, draft: Obj) -> None:
        resource = request.resource
        if not applies(quota["spec"], draft, resource.resource):
            return
        hard = quota["spec"].get("hard") or {}
        added = usage(draft, resource.group, resource.resource, hard)
        if request.operation == "CREATE":
            _need_values(request, draft, quota["metadata"]["name"], hard)
        elif request.old_object is not None:
            before = usage(request.old_object, resource.group, resource.resource, hard)
            added = {key: amount - before.get(key, ZERO) for key, amount in added.items()}
        wanted = {key: amount for key, amount in added.items() if amount > ZERO}
        if wanted:
            self._check(request, quota, wanted)

    def _check(self, request: AdmissionRequest, quota: Obj, wanted: Mapping[str, Quantity]) -> None:
        hard = quota["spec"].get("hard") or {}
        resource = request.resource
        used = dict.fromkeys(wanted, ZERO)
        for each in self._present(request):
            if applies(quota["spec"], each, resource.resource):
                for key, amount in usage(each, resource.group, resource.resource, wanted).items():
                    used[key] = used[key] + amount
        over = sorted(key for key, amount in wanted.items() if used[key] + amount > Quantity.parse(hard[key]))
        if over:
            listed = [",".join(f"{key}={values[key]}" for key in over) for values in (wanted, used)]
            limits = ",".join(f"{key}={Quantity.parse(hard[key])}" for key in over)
            raise request.forbid(
                f"exceeded quota: {quota['metadata']['name']}, requested: {listed[0]}, used: {listed[1]}, limited: {limits}"
            )

    def _present(self, request: AdmissionRequest) -> Iterable[Obj]:
        """The objects of this resource and namespace as they will be once what is under way is stored."""
        gvr = request.resource.gvr
        found = list(request.context.read.list(gvr, request.namespace))
        coming = self._under_way.get((gvr, request.namespace))
        if not coming:
            return found
        latest = {each["metadata"].get("uid"): each for each in (*found, *coming)}
        return latest.values()

    def _announce(self, request: AdmissionRequest, draft: Obj) -> None:
        """Count the write until it is over."""
        key = (request.resource.gvr, request.namespace)
        self._under_way.setdefault(key, []).append(draft)

        def over() -> None:
            coming = self._under_way[key]
            coming[:] = [each for each in coming if each is not draft]
            if not coming:
                del self._under_way[key]

        request.context.ended.append(over)


def _counts(request: AdmissionRequest) -> bool:
    """Whether this write can take more than was taken before."""
    resource = (request.resource.group, request.resource.resource)
    if request.operation == "CREATE":
        return not request.subresource
    if request.operation != "UPDATE":
        return False
    if request.subresource:
        return (resource, request.subresource) == (("", "pods"), "resize")
    return resource in (("", "services"), ("", "persistentvolumeclaims"))


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
        (container.get("resources") or {}).get(side)
        for container in spec.get("containers") or []
        for side in ("limits", "requests")
    )
    affinity = spec.get("affinity") or {}
    across = any(
        term.get("namespaces") or term.get("namespaceSelector") is not None
        for kind in ("podAffinity", "podAntiAffinity")
        for term in (affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or []
    )
    return {
        "Terminating": terminating,
        "NotTerminating": not terminating,
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
        "CrossNamespacePodAffinity": across,
    }.get(scope, False)


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
    side, name = _compute_key(key)
    if not side:
        return
    spec = pod["spec"]

    def amount(container: Obj) -> Quantity:
        return Quantity.parse(((container.get("resources") or {}).get(side) or {}).get(name) or "0")

    total = ZERO
    for container in spec.get("containers") or []:
        total = total + amount(container)
    for container in spec.get("initContainers") or []:
        total = (
            total + amount(container) if container.get("restartPolicy") == "Always" else max(total, amount(container))
        )
    found[key] = total


def _compute_key(key: str) -> tuple[str, str]:
    """`requests.cpu`, `cpu` -> ("requests", "cpu"); ("", "") for keys that are no amounts of pods."""
    side, dot, name = key.partition(".")
    if dot and side in ("requests", "limits") and name in _COMPUTE:
        return side, name
    if dot and side == "requests" and "/" in name and "storageclass.storage.k8s.io" not in name:
        return side, name
    return ("requests", key) if key in _COMPUTE else ("", "")


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


def _need_values(request: AdmissionRequest, pod: Obj, quota: str, hard: Obj) -> None:
    """Where an amount is limited, every container must say how much it takes."""
    if (request.resource.group, request.resource.resource) != ("", "pods"):
        return
    missing: dict[str, list[str]] = {}
    for key in sorted(hard):
        side, name = _compute_key(key)
        if not side:
            continue
        for container in (*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])):
            if name not in ((container.get("resources") or {}).get(side) or {}):
                missing.setdefault(key, []).append(container.get("name", ""))
    if missing:
        listed = "; ".join(f"{key} for: {','.join(sorted(who))}" for key, who in sorted(missing.items()))
        raise request.forbid(f"failed quota: {quota}: must specify {listed}")
