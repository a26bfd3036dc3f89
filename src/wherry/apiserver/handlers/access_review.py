"""What an access review asks, checked and made the attributes of a request. Pure.

Rules and texts: authorization.k8s.io/v1, `ResourceAttributes` with field and label selectors.
"""

from __future__ import annotations

from typing import Any

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.auth.attributes import Attributes
from wherry.apiserver.filters.authorization import requirements
from wherry.apiserver.registry.validation import field

_RESOURCE, _PATH = "spec.resourceAttributes", "spec.nonResourceAttributes"


def causes(spec: Obj, subject: bool) -> list[Cause]:
    """What is wrong with a spec; `subject`: it must say whose access it asks about."""
    found: list[Cause] = []
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        found.append(field.invalid(_PATH, _shown(path), "cannot be specified in combination with resourceAttributes"))
    if resource is None and path is None:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        found.append(field.invalid(_RESOURCE, None, detail))
    if subject and not spec.get("user") and not spec.get("groups"):
        found.append(field.invalid("spec.user", "", "at least one of user or group must be specified"))
    if resource is not None:
        for name in ("fieldSelector", "labelSelector"):
            if resource.get(name) is not None:
                found += _selector(resource[name], f"{_RESOURCE}.{name}", name == "labelSelector")
    return found


def _shown(path: Obj) -> Obj:
    """In the internal form, as Kubernetes shows it."""
    return {"Path": path.get("path") or "", "Verb": path.get("verb") or ""}


def metadata_causes(metadata: Obj, namespaced: bool = False) -> list[Cause]:
    """A review is no object: it has no name, no labels, nothing."""
    said = {key: value for key, value in metadata.items() if value and key != "managedFields"}
    if namespaced:
        said.pop("namespace", None)
    detail = "must be empty except for namespace" if namespaced else "must be empty"
    return [field.invalid("metadata", said, detail)] if said else []


def local_causes(spec: Obj, namespace: str) -> list[Cause]:
    """Of a LocalSubjectAccessReview beside those of every review."""
    found: list[Cause] = []
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and resource.get("namespace", "") != namespace:
        at = f"{_RESOURCE}.namespace"
        found.append(field.invalid(at, resource.get("namespace", ""), "must match metadata.namespace"))
    if path is not None:
        found.append(field.invalid(_PATH, _shown(path), "disallowed on this kind of request"))
    return found


def _selector(selector: Obj, path: str, labels: bool) -> list[Cause]:
    raw, listed = selector.get("rawSelector"), field.as_list(selector.get("requirements"))
    if raw and listed:
        return [field.invalid(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")]
    if not raw and not listed:
        detail = f"when {path} is specified, requirements or rawSelector is required"
        return [field.required(f"{path}.requirements", detail)]
    found: list[Cause] = []
    for i, each in enumerate(listed):
        found += _requirement(each, f"{path}.requirements[{i}]")
    return found


def _requirement(requirement: Obj, path: str) -> list[Cause]:
    """An operator nobody knows is let through: a newer client may mean something by it."""
    operator, values = requirement.get("operator") or "", field.as_list(requirement.get("values"))
    found = [] if requirement.get("key") else [field.required(f"{path}.key", "must be specified")]
    if operator in ("In", "NotIn") and not values:
        found.append(field.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    if operator in ("Exists", "DoesNotExist") and values:
        detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        found.append(field.forbidden(f"{path}.values", detail))
    return found


def attributes(spec: Obj) -> Attributes:
    """Of a spec without causes."""
    resource: Any = spec.get("resourceAttributes")
    if resource is None:
        path = spec["nonResourceAttributes"]
        return Attributes(path.get("verb", ""), path=path.get("path", "") or "/")
    return Attributes(
        resource.get("verb") or "",
        resource.get("group") or "",
        resource.get("resource") or "",
        resource.get("subresource") or "",
        resource.get("namespace") or "",
        resource.get("name") or "",
        fields=_fields(resource.get("fieldSelector") or {}),
    )


def _fields(selector: Obj) -> tuple[tuple[str, str, str], ...]:
    """What authorizers can use: equality with one value."""
    if selector.get("rawSelector"):
        return requirements(selector["rawSelector"])
    signs = {"In": "=", "NotIn": "!="}
    return tuple(
        (each.get("key", ""), signs[each["operator"]], each["values"][0])
        for each in field.as_list(selector.get("requirements"))
        if each.get("operator") in signs and len(field.as_list(each.get("values"))) == 1
    )
