"""ResourceSlices: what devices a driver has on which nodes."""

from __future__ import annotations

import re

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import devices, selectors
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.volume_sources import csi_driver_name

DEVICES_MAX = 128
DEVICES_WITH_TAINTS_MAX = 64
COUNTER_SETS_MAX = 8
ATTRIBUTES_MAX = 32
VALUE_BYTES_MAX = 64
_PLACES = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_VALUES = ("bool", "int", "string", "version")
_SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?\Z")


def spec(value: Obj, path: str) -> list[Cause]:
    causes = csi_driver_name(value.get("driver") or "", f"{path}.driver")
    causes += _pool(f.as_dict(value.get("pool")), f"{path}.pool")
    causes += _place(value, path)
    listed, counters = f.as_list(value.get("devices")), f.as_list(value.get("sharedCounters"))
    if counters and listed:
        causes.append(f.invalid(path, "", "only one of `sharedCounters` or `devices` is allowed"))
    advanced = any(one.get("taints") or one.get("consumesCounters") for one in listed)
    limit = DEVICES_WITH_TAINTS_MAX if advanced else DEVICES_MAX
    causes += devices.each(listed, _device, f"{path}.devices", limit, devices.name_of)
    return causes + devices.each(counters, _counter_set, f"{path}.sharedCounters", COUNTER_SETS_MAX, devices.name_of)


def _pool(pool: Obj, path: str) -> list[Cause]:
    name, slices = pool.get("name") or "", pool.get("resourceSliceCount") or 0
    causes: list[Cause] = [] if name else [f.required(f"{path}.name")]
    if len(name) > devices.POOL_NAME_MAX:
        causes.append(f.too_long(f"{path}.name", devices.POOL_NAME_MAX))
    for part in name.split("/") if name else ():
        causes += f.each_invalid(f"{path}.name", part, names.dns1123_subdomain(part))
    if slices <= 0:
        causes.append(f.invalid(f"{path}.resourceSliceCount", slices, "must be greater than zero"))
    return causes + f.non_negative(pool.get("generation"), f"{path}.generation")


def _place(value: Obj, path: str) -> list[Cause]:
    """One way of saying which nodes the devices are for."""
    causes: list[Cause] = []
    node, selector = value.get("nodeName"), value.get("nodeSelector")
    said: list[str] = []
    if node:
        said.append("`nodeName`")
        causes += f.each_invalid(f"{path}.nodeName", node, names.dns1123_subdomain(node))
    elif node is not None:
        causes.append(f.invalid(f"{path}.nodeName", node, "must be either unset or set to a non-empty string"))
    if selector is not None:
        said.append("`nodeSelector`")
        causes += selectors.node_selector(selector, f"{path}.nodeSelector")
        terms = f.as_list(selector.get("nodeSelectorTerms"))
        if len(terms) != 1:
            at = f"{path}.nodeSelector.nodeSelectorTerms"
            causes.append(f.invalid(at, terms or None, "must have exactly one node selector term"))
    for key in ("allNodes", "perDeviceNodeSelection"):
        if value.get(key):
            said.append(f"`{key}`")
        elif value.get(key) is not None:
            causes.append(f.invalid(f"{path}.{key}", False, "must be either unset or set to true"))
    if not said:
        causes.append(f.required(path, _PLACES))
    elif len(said) > 1:
        causes.append(f.invalid(path, f"{{{', '.join(said)}}}", f"{_PLACES}, but multiple fields are set"))
    return causes


def _device(device: Obj, path: str) -> list[Cause]:
    name = devices.name_of(device)
    causes = f.each_invalid(f"{path}.name", name, names.dns1123_label(name))
    attributes, capacity = f.as_dict(device.get("attributes")), f.as_dict(device.get("capacity"))
    for key, value in attributes.items():
        at = f"{path}.attributes[{key}]"
        causes += devices.qualified_name(key, at) + _attribute(value or {}, at)
    for key in capacity:
        causes += devices.qualified_name(key, f"{path}.capacity[{key}]")
    if len(attributes) + len(capacity) > ATTRIBUTES_MAX:
        detail = f"the total number of attributes and capacities must not exceed {ATTRIBUTES_MAX}"
        causes.append(f.invalid(path, len(attributes) + len(capacity), detail))
    for i, taint in enumerate(f.as_list(device.get("taints"))):
        causes += devices.taint(taint, f"{path}.taints[{i}]")
    return causes


def _attribute(value: Obj, path: str) -> list[Cause]:
    given = [kind for kind in _VALUES if value.get(kind) is not None]
    if len(given) != 1:
        detail = "exactly one value must be specified"
        return [f.required(path, detail)] if not given else [f.invalid(path, value, detail)]
    said = value[given[0]]
    if given[0] in ("string", "version") and len(said.encode()) > VALUE_BYTES_MAX:
        return [f.too_long(f"{path}.{given[0]}", VALUE_BYTES_MAX)]
    if given[0] == "version" and not _SEMVER.match(said):
        return [f.invalid(f"{path}.version", said, "must be a string compatible with semver.org spec 2.0.0")]
    return []


def _counter_set(counters: Obj, path: str) -> list[Cause]:
    name = devices.name_of(counters)
    causes = f.each_invalid(f"{path}.name", name, names.dns1123_label(name)) if name else [f.required(f"{path}.name")]
    listed = f.as_dict(counters.get("counters"))
    if not listed:
        causes.append(f.required(f"{path}.counters"))
    for key in listed:
        causes += f.each_invalid(f"{path}.counters", key, names.dns1123_label(key))
    return causes
