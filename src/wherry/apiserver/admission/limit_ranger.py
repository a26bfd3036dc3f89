"""LimitRanger: defaults for containers that ask for nothing, and bounds for containers, pods and claims."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from wherry.api.pod_amounts import pod_amounts
from wherry.api.quantity import Quantity
from wherry.api.types import GVR, Obj
from wherry.apiserver.admission.request import AdmissionRequest
from wherry.apiserver.registry.pod_defaults import canonical_list

LIMIT_RANGES = GVR("", "v1", "limitranges")
ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger:
    concerns = frozenset({("", "pods"), ("", "persistentvolumeclaims")})

    async def admit(self, request: AdmissionRequest) -> None:
        if request.object is not None and request.is_for("", "pods", "CREATE"):
            for limit_range in request.context.read.list(LIMIT_RANGES, request.namespace):
                fill_in(request.object, limit_range)

    async def validate(self, request: AdmissionRequest) -> None:
        draft = request.object
        if draft is None:
            return
        pod = request.is_for("", "pods", "CREATE") or _is_resize(request)
        if not pod and not request.is_for("", "persistentvolumeclaims", "CREATE", "UPDATE"):
            return
        ranges = request.context.read.list(LIMIT_RANGES, request.namespace)
        problems = [problem for each in ranges for problem in (_pod if pod else _claim)(draft, each)]
        if problems:
            joined = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
            raise request.forbid(joined)


def _is_resize(request: AdmissionRequest) -> bool:
    resource = request.resource
    return (resource.group, resource.resource, request.subresource) == ("", "pods", "resize")


def _items(limit_range: Obj, kind: str) -> list[Obj]:
    return [item for item in limit_range["spec"].get("limits") or [] if item.get("type") == kind]


def fill_in(pod: Obj, limit_range: Obj) -> None:
    """Set what containers leave out; an annotation says that it was not the user."""
    limits: Obj = {}
    requests: Obj = {}
    for item in _items(limit_range, "Container"):
        limits.update(canonical_list(item.get("default") or {}))
        requests.update(canonical_list(item.get("defaultRequest") or {}))
    if not limits and not requests:
        return
    notes = []
    for key, what in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(key) or []:
            resources = container.setdefault("resources", {})
            for side, defaults in (("requests", requests), ("limits", limits)):
                given = resources.get(side) or {}
                added = sorted(name for name in defaults if name not in given)
                if added:
                    resources[side] = {**{name: defaults[name] for name in added}, **given}
                    notes.append((side, f"{', '.join(added)} {side[:-1]} for {what} {container.get('name', '')}"))
    if notes:
        # Kubernetes lists requests before limits.
        listed = "; ".join(text for side in ("requests", "limits") for kind, text in notes if kind == side)
        annotations = pod["metadata"].get("annotations") or {}
        pod["metadata"]["annotations"] = {**annotations, ANNOTATION: f"LimitRanger plugin set: {listed}"}


def _pod(pod: Obj, limit_range: Obj) -> Iterable[str]:
    containers = pod["spec"].get("containers") or []
    init = pod["spec"].get("initContainers") or []
    for item in _items(limit_range, "Container"):
        for container in (*containers, *init):
            resources = container.get("resources") or {}
            yield from _bounds(item, resources.get("requests") or {}, resources.get("limits") or {}, "Container")
    for item in _items(limit_range, "Pod"):
        requests, limits = (
            {name: str(amount) for name, amount in pod_amounts(pod["spec"], side, overhead=False).items()}
            for side in ("requests", "limits")
        )
        yield from _bounds(item, requests, limits, "Pod")


def _claim(claim: Obj, limit_range: Obj) -> Iterable[str]:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    for item in _items(limit_range, "PersistentVolumeClaim"):
        for bound, name, fits in (("min", "minimum", _at_least), ("max", "maximum", _at_most)):
            for resource, limit in (item.get(bound) or {}).items():
                asked = requests.get(resource)
                if asked is not None and not fits(asked, limit):
                    yield f"{name} {resource} usage per PersistentVolumeClaim is {limit}, but request is {asked}"


def _bounds(item: Obj, requests: Obj, limits: Obj, kind: str) -> Iterable[str]:
    for resource, limit in (item.get("min") or {}).items():
        yield from _bound("minimum", resource, limit, requests, limits, kind, _at_least)
    for resource, limit in (item.get("max") or {}).items():
        yield from _bound("maximum", resource, limit, requests, limits, kind, _at_most)
    for resource, ratio in (item.get("maxLimitRequestRatio") or {}).items():
        yield from _ratio(resource, ratio, requests, limits, kind)


def _bound(
    name: str, resource: str, bound: str, requests: Obj, limits: Obj, kind: str, fits: Callable[[str, str], bool]
) -> Iterable[str]:
    """One complaint at most: a minimum is held against the request first, a maximum against the limit."""
    given = {"request": requests.get(resource), "limit": limits.get(resource)}
    order = ("request", "limit") if name == "minimum" else ("limit", "request")
    text = f"{name} {resource} usage per {kind} is {bound}"
    if given[order[0]] is None:
        yield f"{text}.  No {order[0]} is specified"
        return
    for side in order:
        value = given[side]
        if value is not None and not fits(value, bound):
            yield f"{text}, but {side} is {value}"
            return


def _ratio(resource: str, ratio: str, requests: Obj, limits: Obj, kind: str) -> Iterable[str]:
    text = f"{resource} max limit to request ratio per {kind} is {ratio}"
    asked, limit = (Quantity.parse(side.get(resource) or "0").milli_value() for side in (requests, limits))
    if not asked or not limit:
        missing = "limit" if asked else "request"
        yield f"{text}, but no {missing} is specified or {missing} is 0"
    elif limit * 1000 > Quantity.parse(ratio).milli_value() * asked:
        yield f"{text}, but provided ratio is {limit / asked:f}"


def _at_least(value: str, bound: str) -> bool:
    return Quantity.parse(value) >= Quantity.parse(bound)


def _at_most(value: str, bound: str) -> bool:
    return Quantity.parse(value) <= Quantity.parse(bound)
