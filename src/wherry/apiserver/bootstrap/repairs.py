"""What becomes of a kept object that somebody changed: pure functions of how it is and how it should be.

`repaired(present, wanted)` is the object to write, None when it may stay. Source: Kubernetes' "API Priority and Fairness",
"Maintenance of the Mandatory and Suggested Configuration Objects"; kube-apiserver's keeping of its own Endpoints and of
extension-apiserver-authentication.
"""

from __future__ import annotations

import json
from typing import Any

from wherry.api.types import Obj

AUTO_UPDATE_SPEC = "apf.kubernetes.io/autoupdate-spec"
MANDATORY = ("exempt", "catch-all")
FLOW_CONTROL = ("FlowSchema", "PriorityLevelConfiguration")
_ENDPOINTS = {"Endpoints": ("subsets",), "EndpointSlice": ("addressType", "endpoints", "ports")}


def repaired(present: Obj, wanted: Obj) -> Obj | None:
    """Namespaces, Services and ranges only need to be there."""
    kind = wanted["kind"]
    if kind in FLOW_CONTROL:
        return _flow_control(present, wanted)
    if kind in _ENDPOINTS:
        return _with(present, {key: wanted[key] for key in _ENDPOINTS[kind]})
    if kind == "ConfigMap":
        return _authentication(present, wanted)
    return None


def is_left_over(present: Obj) -> bool:
    """Whether an object of flow control that nobody suggests any more was the server's."""
    return present["kind"] in FLOW_CONTROL and _annotations(present).get(AUTO_UPDATE_SPEC) == "true"


def _flow_control(present: Obj, wanted: Obj) -> Obj | None:
    """A suggested object belongs to whoever the annotation says; without it, to who first changed it."""
    spec, ours = wanted["spec"], True
    if wanted["metadata"]["name"] in MANDATORY:
        if present["spec"].get("type") == "Exempt" and "exempt" in present["spec"]:
            spec = {**spec, "exempt": present["spec"]["exempt"]}  # an administrator may tune that
    else:
        said = _annotations(present).get(AUTO_UPDATE_SPEC)
        ours = said == "true" if said in ("true", "false") else present["metadata"].get("generation", 1) == 1
    annotations = {**_annotations(present), AUTO_UPDATE_SPEC: str(ours).lower()}
    metadata = present["metadata"]
    if annotations != _annotations(present):
        metadata = {**metadata, "annotations": annotations}
    return _with(present, {"metadata": metadata, "spec": spec if ours else present["spec"]})


def _authentication(present: Obj, wanted: Obj) -> Obj | None:
    """Who is trusted beside us stays trusted: certificates and names are joined."""
    data = present.get("data") or {}
    joined = {key: _joined(data.get(key, ""), text) for key, text in wanted["data"].items()}
    return _with(present, {"data": {**data, **joined}})


def _joined(there: str, ours: str) -> str:
    if not ours.startswith("["):
        return there if ours.strip() in there else f"{there.rstrip()}\n{ours}".lstrip()
    try:
        names = json.loads(there)
    except ValueError:
        return ours
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        return ours
    missing = [each for each in json.loads(ours) if each not in names]
    return json.dumps([*names, *missing]) if missing else there


def _annotations(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def _with(present: Obj, fields: dict[str, Any]) -> Obj | None:
    made = {**present, **fields}
    return made if made != present else None
