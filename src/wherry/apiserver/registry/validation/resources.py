"""Requests and limits: names of resources, quantities, and how the two relate."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f

CONTAINER_RESOURCES = ("cpu", "memory", "ephemeral-storage")
HUGE_PAGES = "hugepages-"
_INTEGERS = {
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
}
_STANDARD = {
    *CONTAINER_RESOURCES,
    *_INTEGERS,
    "storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
}


def is_extended(name: str) -> bool:
    """`example.com/gpu`: fully qualified, outside kubernetes.io and not a quota's `requests.`."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{name}")


def is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def is_integer(name: str) -> bool:
    return name in _INTEGERS or is_extended(name)


def may_overcommit(name: str) -> bool:
    """Whether less may be requested than is the limit: of Kubernetes' own resources, save for huge pages."""
    return is_native(name) and not name.startswith(HUGE_PAGES)


def resource_name(name: str, path: str) -> list[Cause]:
    """A qualified name, of the known ones when it has no domain."""
    problems = names.qualified_name(name)
    if problems:
        return f.each_invalid(path, name, problems)
    if "/" not in name and name not in _STANDARD and not name.startswith((HUGE_PAGES, "requests.hugepages-")):
        return [f.invalid(path, name, "must be a standard resource type or fully qualified")]
    return []


def container_resource_name(name: str, path: str) -> list[Cause]:
    causes = resource_name(name, path)
    if "/" not in name:
        if name not in CONTAINER_RESOURCES and not name.startswith(HUGE_PAGES):
            causes.append(f.invalid(path, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        causes.append(f.invalid(path, name, "doesn't follow extended resource name standard"))
    return causes


def quantity(name: str, value: str, path: str) -> list[Cause]:
    """Not negative, and whole where pieces cannot be shared."""
    parsed = Quantity.parse(value)
    if parsed < Quantity.parse("0"):
        return [f.invalid(path, str(value), f.NON_NEGATIVE)]
    if is_integer(name) and parsed.milli_value() % 1000:
        return [f.invalid(path, str(value), "must be an integer")]
    return []


def requirements(resources: Obj, claims: tuple[str, ...], path: str) -> list[Cause]:
    """A container's ResourceRequirements; `claims` are the names of spec.resourceClaims."""
    limits = f.as_dict(resources.get("limits"))
    requests = f.as_dict(resources.get("requests"))
    causes: list[Cause] = []
    for name, value in limits.items():
        causes += container_resource_name(name, f"{path}.limits[{name}]")
        causes += quantity(name, value, f"{path}.limits[{name}]") + _whole_pages(name, value, f"{path}.limits[{name}]")
    for name, value in requests.items():
        causes += container_resource_name(name, f"{path}.requests[{name}]")
        causes += quantity(name, value, f"{path}.requests[{name}]")
        causes += _whole_pages(name, value, f"{path}.requests[{name}]")
        causes += _request_against_limit(name, value, limits, path)
    pages = any(name.startswith(HUGE_PAGES) for name in (*limits, *requests))
    if pages and not any(name in ("cpu", "memory") for name in (*limits, *requests)):
        causes.append(f.forbidden(path, "HugePages require cpu or memory"))
    return causes + _claims(f.as_list(resources.get("claims")), claims, f"{path}.claims")


def _whole_pages(name: str, value: str, path: str) -> list[Cause]:
    """So much of `hugepages-2Mi` as is a number of such pages."""
    if not name.startswith(HUGE_PAGES):
        return []
    try:
        size = Quantity.parse(name.removeprefix(HUGE_PAGES)).milli_value()
    except ValueError:
        size = 0
    if size > 0 and Quantity.parse(value).milli_value() % size == 0:
        return []
    return [f.invalid(path, str(value), f"{value} is not positive integer multiple of {name}")]


def _request_against_limit(name: str, value: str, limits: Obj, path: str) -> list[Cause]:
    shared = may_overcommit(name)
    if name not in limits:
        detail = "Limit must be set for non overcommitable resources"
        return [] if shared else [f.required(f"{path}.limits", detail)]
    request, limit = Quantity.parse(value), Quantity.parse(limits[name])
    if not shared and request != limit:
        return [f.invalid(f"{path}.requests", str(value), f"must be equal to {name} limit of {limits[name]}")]
    if shared and request > limit:
        return [
            f.invalid(f"{path}.requests", str(value), f"must be less than or equal to {name} limit of {limits[name]}")
        ]
    return []


def _claims(wanted: list[Obj], known: tuple[str, ...], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for i, claim in enumerate(wanted):
        name, request = claim.get("name") or "", claim.get("request") or ""
        at = f"{path}[{i}]"
        if not name:
            causes.append(f.required(at))
            continue
        if name in seen:
            causes.append(f.duplicate(at, name))
        else:
            key = f"{name}/{request}" if request else name
            causes += f.each_invalid(f"{at}.request", request, names.dns1123_label(request)) if request else []
            if key in seen:
                causes.append(f.duplicate(at, key))
            elif not request:
                causes += [f.duplicate(at, name) for each in seen if each.startswith(f"{name}/")]
            seen.add(key)
        if name not in known:
            listed = f": {', '.join(sorted(known))}" if known else " which is empty"
            causes.append(f.not_found(at, name, f"must be one of the names in pod.spec.resourceClaims{listed}"))
    return causes
