"""What a pod claims as a whole: devices by ResourceClaims, and resources its containers share."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import resources

_SHARED = ("cpu", "memory")


def claims(listed: list[Obj], path: str) -> list[Cause]:
    """spec.resourceClaims."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for i, claim in enumerate(listed):
        at, name = f"{path}[{i}]", claim.get("name") or ""
        if not name:
            causes.append(f.required(f"{at}.name"))
        elif name in seen:
            causes.append(f.duplicate(f"{at}.name", name))
        else:
            causes += f.each_invalid(f"{at}.name", name, names.dns1123_label(name))
            seen.add(name)
        given = [key for key in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(key) is not None]
        if len(given) != 1:
            keys = {"Name": "name", "ResourceClaimName": "resourceClaimName"}
            keys["ResourceClaimTemplateName"] = "resourceClaimTemplateName"
            shown = {word: claim.get(key) for word, key in keys.items()}
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            needed = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            causes.append(f.invalid(at, shown, detail if given else needed))
        for key in given:
            causes += f.each_invalid(f"{at}.{key}", claim[key], names.dns1123_subdomain(claim[key]))
    return causes


def shared(spec: Obj, path: str) -> list[Cause]:
    """spec.resources: enough for all its containers together."""
    own = spec.get("resources")
    if own is None:
        return []
    supported = (*_SHARED, "hugepages-")
    causes: list[Cause] = []
    for side in ("limits", "requests"):
        strange = [n for n in f.as_dict(own.get(side)) if n not in _SHARED and not n.startswith(resources.HUGE_PAGES)]
        causes += [f.not_supported(f"{path}.{side}[{name}]", name, supported) for name in strange]
    if own.get("claims"):
        causes.append(f.forbidden(f"{path}.claims", "claims may not be set for Resources at pod-level"))
    causes += resources.requirements({key: own[key] for key in ("limits", "requests") if key in own}, (), path)
    containers = f.as_list(spec.get("containers"))
    for name, value in f.as_dict(own.get("requests")).items():
        asked = [f.as_dict(f.as_dict(each.get("resources")).get("requests")).get(name) for each in containers]
        total = sum((Quantity.parse(each) for each in asked if each is not None), Quantity.parse("0"))
        if Quantity.parse(value) < total:
            detail = f"must be greater than or equal to aggregate container requests of {total}"
            causes.append(f.invalid(f"{path}.requests[{name}]", str(value), detail))
    for name, value in f.as_dict(own.get("limits")).items():
        for i, each in enumerate(containers):
            limit = f.as_dict(f.as_dict(each.get("resources")).get("limits")).get(name)
            if limit is not None and Quantity.parse(limit) > Quantity.parse(value):
                at = f"{path.removesuffix('.resources')}.containers[{i}].resources.limits[{name}]"
                causes.append(f.invalid(at, str(limit), f"must be less than or equal to pod limits of {value}"))
    return causes
