"""Requests for devices, as ResourceClaims, their templates and DeviceClasses say them; and taints and tolerations of devices.

Expressions that choose devices are taken as they are, within their length: nothing here allocates devices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.volume_sources import csi_driver_name

LIST_MAX = 32
ALTERNATIVES_MAX = 8
TOLERATIONS_MAX = 16
EXPRESSION_BYTES_MAX = 10 * 1024
PARAMETERS_BYTES_MAX = 10 * 1024
POOL_NAME_MAX = 253
_NOT_A_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
_ONE_OF_TWO = "exactly one of `exactly` or `firstAvailable` is required"
_ONE_CONSTRAINT = 'exactly one of "matchAttribute" or "distinctAttribute" is required'
Rule = Callable[[Any, str], list[Cause]]


def each(listed: list[Any], rule: Rule, path: str, limit: int, key: Callable[[Any], str] | None = None) -> list[Cause]:
    """A list of at most so many, each by its rule and, with a key, each once."""
    if len(listed) > limit:
        return [f.too_many(path, len(listed), limit)]
    causes: list[Cause] = []
    seen: set[str] = set()
    for i, item in enumerate(listed):
        causes += rule(item, f"{path}[{i}]")
        if key is not None:
            if key(item) in seen:
                causes.append(f.duplicate(f"{path}[{i}]", key(item)))
            seen.add(key(item))
    return causes


def name_of(item: Obj) -> str:
    return item.get("name") or ""


def default_requests(claim: Obj) -> None:
    """In place: one device unless another number or all are asked for."""
    for request in f.as_list(f.as_dict(claim.get("devices")).get("requests")):
        for part in [request.get("exactly"), *f.as_list(request.get("firstAvailable"))]:
            if part is None:
                continue
            if not part.get("allocationMode"):
                part["allocationMode"] = "ExactCount"
            if part["allocationMode"] == "ExactCount" and not part.get("count"):
                part["count"] = 1
            for toleration in f.as_list(part.get("tolerations")):
                if not toleration.get("operator"):
                    toleration["operator"] = "Equal"


def claim_spec(spec: Obj, path: str) -> list[Cause]:
    """The spec of a ResourceClaim."""
    devices, at = f.as_dict(spec.get("devices")), f"{path}.devices"
    known = request_names(spec)
    causes = each(f.as_list(devices.get("requests")), _request, f"{at}.requests", LIST_MAX, name_of)
    causes += each(
        f.as_list(devices.get("constraints")), lambda one, p: _constraint(one, known, p), f"{at}.constraints", LIST_MAX
    )

    def judged(one: Obj, p: str) -> list[Cause]:
        return references(f.as_list(one.get("requests")), known, f"{p}.requests") + configuration(one, p)

    return causes + each(f.as_list(devices.get("config")), judged, f"{at}.config", LIST_MAX)


def request_names(spec: Obj) -> Mapping[str, set[str]]:
    """Name of each request -> names of its alternatives."""
    requests = f.as_list(f.as_dict(spec.get("devices")).get("requests"))
    return {name_of(one): {name_of(part) for part in f.as_list(one.get("firstAvailable"))} for one in requests}


def references(listed: list[str], known: Mapping[str, set[str]], path: str) -> list[Cause]:
    """Names of requests, `REQUEST` or `REQUEST/ALTERNATIVE`, each once."""
    return each(listed, lambda name, at: reference(name, known, at), path, LIST_MAX, lambda name: str(name))


def reference(name: str, known: Mapping[str, set[str]], path: str) -> list[Cause]:
    parts = name.split("/")
    if len(parts) > 2:
        return [f.invalid(path, name, _NOT_A_REQUEST)]
    causes = [cause for part in parts for cause in f.each_invalid(path, part, names.dns1123_label(part))]
    alternatives = known.get(parts[0])
    if alternatives is None or (len(parts) == 2 and parts[1] not in alternatives):
        causes.append(f.invalid(path, name, _NOT_A_REQUEST))
    return causes


def _request(request: Obj, path: str) -> list[Cause]:
    causes = f.each_invalid(f"{path}.name", name_of(request), names.dns1123_label(name_of(request)))
    exactly, alternatives = request.get("exactly"), f.as_list(request.get("firstAvailable"))
    if exactly is not None and alternatives:
        causes.append(f.invalid(path, None, f"{_ONE_OF_TWO}, but multiple fields are set"))
    elif exactly is not None:
        causes += _wanted(exactly, f"{path}.exactly")
    elif alternatives:

        def judged(one: Obj, at: str) -> list[Cause]:
            return f.each_invalid(f"{at}.name", name_of(one), names.dns1123_label(name_of(one))) + _wanted(one, at)

        causes += each(alternatives, judged, f"{path}.firstAvailable", ALTERNATIVES_MAX, name_of)
    else:
        causes.append(f.required(path, _ONE_OF_TWO))
    return causes


def _wanted(wanted: Obj, path: str) -> list[Cause]:
    chosen, at = wanted.get("deviceClassName") or "", f"{path}.deviceClassName"
    causes = f.each_invalid(at, chosen, names.dns1123_subdomain(chosen)) if chosen else [f.required(at)]
    causes += selectors(f.as_list(wanted.get("selectors")), f"{path}.selectors")
    mode, count = wanted.get("allocationMode") or "", wanted.get("count") or 0
    if mode == "All":
        if count:
            causes.append(f.invalid(f"{path}.count", count, "must not be specified when allocationMode is 'All'"))
    elif mode == "ExactCount":
        causes += [] if count > 0 else [f.invalid(f"{path}.count", count, "must be greater than zero")]
    else:
        causes.append(f.not_supported(f"{path}.allocationMode", mode, ("All", "ExactCount")))
    return causes + each(f.as_list(wanted.get("tolerations")), toleration, f"{path}.tolerations", TOLERATIONS_MAX)


def selectors(listed: list[Obj], path: str) -> list[Cause]:
    def judged(selector: Obj, at: str) -> list[Cause]:
        if selector.get("cel") is None:
            return [f.required(f"{at}.cel")]
        size = len((selector["cel"].get("expression") or "").encode())
        return [f.too_long(f"{at}.cel.expression", EXPRESSION_BYTES_MAX)] if size > EXPRESSION_BYTES_MAX else []

    return each(listed, judged, path, LIST_MAX)


def _constraint(constraint: Obj, known: Mapping[str, set[str]], path: str) -> list[Cause]:
    causes = references(f.as_list(constraint.get("requests")), known, f"{path}.requests")
    given = [key for key in ("matchAttribute", "distinctAttribute") if constraint.get(key) is not None]
    if not given:
        return [*causes, f.required(path, _ONE_CONSTRAINT)]
    value, at = constraint[given[0]], f"{path}.{given[0]}"
    domain, slash, name = value.partition("/")
    if not value:
        return [*causes, f.required(at)]
    if not slash:
        return [*causes, f.invalid(at, value, "must include a domain")]
    return causes + qualified_name(f"{domain}/{name}", at)


def qualified_name(value: str, path: str) -> list[Cause]:
    """An attribute or capacity of a device: a C identifier, perhaps in a domain."""
    domain, slash, name = value.rpartition("/")
    causes: list[Cause] = []
    if slash:
        causes += f.each_invalid(path, domain, names.dns1123_subdomain(domain)) if domain else [
            f.required(path, "the domain must not be empty")
        ]  # fmt: skip
    if not name:
        causes.append(f.required(path, "the name must not be empty"))
    else:
        causes += f.each_invalid(path, name, names.c_identifier(name))
    return causes


def configuration(config: Obj, path: str) -> list[Cause]:
    """What a driver is told; only drivers know what it means."""
    opaque, at = config.get("opaque"), f"{path}.opaque"
    if opaque is None:
        return [f.required(at)]
    causes = csi_driver_name(opaque.get("driver") or "", f"{at}.driver")
    parameters = opaque.get("parameters")
    if parameters is None:
        return [*causes, f.required(f"{at}.parameters")]
    if len(msgspec.json.encode(parameters)) > PARAMETERS_BYTES_MAX:
        causes.append(f.too_long(f"{at}.parameters", PARAMETERS_BYTES_MAX))
    return causes


def toleration(value: Obj, path: str) -> list[Cause]:
    key, operator = value.get("key") or "", value.get("operator") or ""
    causes = f.qualified(key, f"{path}.key") if key else []
    if not key and operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        causes.append(f.invalid(f"{path}.operator", operator, detail))
    if operator == "Exists":
        if value.get("value"):
            causes.append(f.invalid(f"{path}.value", value["value"], "must be empty for operator `Exists`"))
    elif operator == "Equal":
        causes += f.each_invalid(f"{path}.value", value.get("value") or "", names.label_value(value.get("value") or ""))
    else:
        causes.append(f.not_supported(f"{path}.operator", operator, ("Equal", "Exists")))
    return causes + f.one_of(value.get("effect"), f"{path}.effect", EFFECTS)


def taint(value: Obj, path: str) -> list[Cause]:
    causes = f.qualified(value.get("key") or "", f"{path}.key")
    said = value.get("value") or ""
    causes += f.each_invalid(f"{path}.value", said, names.label_value(said)) if said else []
    return causes + f.one_of(value.get("effect"), f"{path}.effect", EFFECTS, need=True)


EFFECTS = ("NoExecute", "NoSchedule", "None")
