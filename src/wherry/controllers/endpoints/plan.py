"""The Endpoints object a Service should have. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.types import Obj
from wherry.reconcile.pods import is_ready
from wherry.reconcile.service_pods import (
    HEADLESS_LABEL,
    address_of_family,
    has_address,
    hostname_in,
    is_headless,
    ports_on,
    target_ref,
)

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
ADDRESSES_MAX = 1000
"""Kubernetes' bound for one Endpoints object; beyond it only EndpointSlices are complete."""


def desired(service: Obj, pods: Iterable[Obj], before: Obj | None) -> Obj:
    """The object to store; equal to `before` when nothing changes."""
    found, truncated = subsets(service, pods)
    labels = {key: value for key, value in (service["metadata"].get("labels") or {}).items() if key != HEADLESS_LABEL}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    labels[MANAGED_BY] = MANAGER
    if before is None:
        metadata: Obj = {"name": service["metadata"]["name"], "namespace": service["metadata"]["namespace"]}
        result: Obj = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
    else:
        result = before
        metadata = dict(before["metadata"])
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != OVER_CAPACITY}
    if truncated:
        annotations[OVER_CAPACITY] = "truncated"
    metadata["labels"] = labels
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    result = {**result, "metadata": metadata}
    result.pop("subsets", None)
    if found:
        result["subsets"] = found
    return result


def subsets(service: Obj, pods: Iterable[Obj]) -> tuple[list[Obj], bool]:
    """Addresses that share their ports, ready and not ready apart, and whether some had to be left out."""
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    family = (service["spec"].get("ipFamilies") or ["IPv4"])[0]
    groups: dict[str, Obj] = {}
    count = 0
    truncated = False
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["uid"])):
        address = address_of_family(pod, family)
        if not address or not has_address(pod, include_terminating=publish):
            continue
        ports = ports_on(service, pod)
        if service["spec"].get("ports") and not ports:
            continue
        if count == ADDRESSES_MAX:
            truncated = True
            break
        count += 1
        ports.sort(key=lambda port: (port["name"], port["port"], port["protocol"]))
        group = groups.setdefault(repr(ports), {"ports": [_without_empty_name(port) for port in ports]})
        kind = "addresses" if publish or is_ready(pod) else "notReadyAddresses"
        group.setdefault(kind, []).append(_address(service, pod, address))
    return [_ordered(group) for _, group in sorted(groups.items())], truncated


def _address(service: Obj, pod: Obj, ip: str) -> Obj:
    result: Obj = {"ip": ip}
    hostname = hostname_in(service, pod)
    if hostname:
        result["hostname"] = hostname
    if pod["spec"].get("nodeName"):
        result["nodeName"] = pod["spec"]["nodeName"]
    result["targetRef"] = target_ref(pod)
    return result


def _without_empty_name(port: Obj) -> Obj:
    return {key: value for key, value in port.items() if key != "name" or value}


def _ordered(group: Obj) -> Obj:
    return {key: group[key] for key in ("addresses", "notReadyAddresses", "ports") if group.get(key)}
