"""Warnings of resources and versions on their way out, from the version of Kubernetes on that gives them.

Source: the documented deprecated API migration guide and the life cycle each version of an API was published with.
"""

from __future__ import annotations

from wherry.api.scheme import Scheme
from wherry.api.types import GVR

_FLOW = "flowcontrol.apiserver.k8s.io"
_TEXTS = {
    GVR("", "v1", "componentstatuses"): (19, "v1 ComponentStatus is deprecated in v1.19+"),
    GVR("", "v1", "endpoints"): (33, "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
}
_VERSIONS: dict[tuple[str, str], tuple[int, int, str]] = {
    ("autoscaling", "v2beta2"): (23, 26, "autoscaling/v2"),
    ("storage.k8s.io", "v1beta1"): (24, 27, "storage.k8s.io/v1"),
    (_FLOW, "v1beta1"): (23, 26, f"{_FLOW}/v1beta2"),
    (_FLOW, "v1beta2"): (26, 29, f"{_FLOW}/v1beta3"),
    (_FLOW, "v1beta3"): (29, 32, f"{_FLOW}/v1"),
}
"""(group, version) -> (minor that deprecates it, minor without it, what to use)."""


def deprecation(gvr: GVR, version: str) -> list[str]:
    """Texts of `Warning` headers for a request of this resource; `version` is Kubernetes', "1.36"."""
    minor = int(version.split(".")[1])
    if gvr in _TEXTS:
        since, text = _TEXTS[gvr]
        return [text] if minor >= since else []
    known = _VERSIONS.get((gvr.group, gvr.version))
    if known is None or minor < known[0]:
        return []
    since, gone, replacement = known
    resource = Scheme.load(version).resource(gvr)
    if resource is None:
        return []
    kind = resource.kind
    return [
        f"{gvr.group}/{gvr.version} {kind} is deprecated in v1.{since}+, unavailable in v1.{gone}+; use {replacement} {kind}"
    ]
