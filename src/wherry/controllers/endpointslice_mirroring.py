"""Shows hand-made Endpoints as EndpointSlices, which is what the network reads.

Mirrored are Endpoints of a Service without a selector, unless they say no themselves. Slices follow their Endpoints: one
for each subset and address family, at most ADDRESSES_MAX addresses of a subset.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.reconcile.controller import Controller
from wherry.reconcile.ownership import OWNER_INDEX, controller_of, controller_ref, index_by_owner
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly

ADDRESSES_MAX = 1000
"""kube-controller-manager's --mirroring-max-endpoints-per-subset."""
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslicemirroring-controller.k8s.io"
NOT_COPIED = frozenset(
    {"kubectl.kubernetes.io/last-applied-configuration", "endpoints.kubernetes.io/last-change-trigger-time"}
)


def build(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller; its keys are Services and their Endpoints, which have the same names."""
    queue: WorkQueue[Request] = WorkQueue("endpointslice-mirroring", parts.clock)
    gvrs = (ENDPOINTS, SERVICES, ENDPOINT_SLICES)
    endpoints, services, slices = sources = tuple(parts.factory.informer(gvr) for gvr in gvrs)
    index_by_owner(slices)

    def on_slice(type: str, one: Obj, old: Obj | None) -> None:
        ref = controller_of(one)
        if ref is not None and ref["kind"] == "Endpoints":
            queue.add(Request(one["metadata"]["namespace"], ref["name"]))

    endpoints.add_handler(lambda type, obj, old: queue.add(Request.of(obj)))
    services.add_handler(lambda type, obj, old: queue.add(Request.of(obj)))
    slices.add_handler(on_slice)
    reconciler = Mirror(parts, endpoints, services, slices)
    return Controller("endpointslice-mirroring", reconciler, queue, workers=workers, sources=sources)


def is_mirrored(endpoints: Obj, service: Obj | None) -> bool:
    """Whether slices should stand for these Endpoints."""
    metadata = endpoints["metadata"]
    if (metadata.get("labels") or {}).get(SKIP) == "true" or LEADER in (metadata.get("annotations") or {}):
        return False
    return service is not None and not service["spec"].get("selector") and "deletionTimestamp" not in metadata


def wanted(endpoints: Obj) -> list[Obj]:
    """The slices, without names; those without endpoints are left out."""
    found: list[Obj] = []
    for subset in endpoints.get("subsets") or ():
        addresses = _addresses(subset)[:ADDRESSES_MAX]
        for family in ("IPv4", "IPv6"):
            same = [one for one in addresses if (":" in one[0]["ip"]) == (family == "IPv6")]
            if same:
                found.append(_slice(endpoints, subset, family, [_endpoint(*one) for one in same]))
    return found


def skipped(endpoints: Obj) -> int:
    """How many addresses are too many."""
    return sum(max(len(_addresses(subset)) - ADDRESSES_MAX, 0) for subset in endpoints.get("subsets") or ())


def _addresses(subset: Obj) -> list[tuple[Obj, bool]]:
    """With whether they are ready, which come first."""
    ready = [(one, True) for one in subset.get("addresses") or ()]
    return ready + [(one, False) for one in subset.get("notReadyAddresses") or ()]


def _slice(endpoints: Obj, subset: Obj, family: str, listed: list[Obj]) -> Obj:
    metadata = endpoints["metadata"]
    labels = {**(metadata.get("labels") or {}), SERVICE_NAME: metadata["name"], MANAGED_BY: MANAGER}
    annotations = {key: text for key, text in (metadata.get("annotations") or {}).items() if key not in NOT_COPIED}
    own: Obj = {
        "generateName": f"{metadata['name']}-",
        "namespace": metadata["namespace"],
        "labels": labels,
        "ownerReferences": [controller_ref(endpoints)],
    }
    if annotations:
        own["annotations"] = annotations
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": own,
        "addressType": family,
        "endpoints": listed,
        "ports": [
            {"name": port.get("name", ""), "protocol": port.get("protocol") or "TCP", "port": port["port"]}
            | ({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {})
            for port in subset.get("ports") or ()
        ],
    }


def _endpoint(address: Obj, ready: bool) -> Obj:
    result: Obj = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    result |= {key: address[key] for key in ("hostname", "nodeName", "targetRef") if address.get(key)}
    return result


def _content(one: Obj) -> tuple[object, ...]:
    metadata = one["metadata"]
    return (
        one["addressType"],
        one.get("ports") or [],
        one.get("endpoints") or [],
        metadata.get("labels"),
        metadata.get("annotations") or {},
    )


class Mirror:
    def __init__(self, parts: Parts, endpoints: Informer, services: Informer, slices: Informer) -> None:
        self._client = parts.client
        self._endpoints = endpoints
        self._services = services
        self._slices = slices
        self._recorder = parts.recorder

    async def reconcile(self, request: Request) -> Result | None:
        endpoints = self._endpoints.get(request.name, request.namespace)
        if endpoints is None:
            return None  # its slices have no owner any more
        existing = [
            one
            for one in self._slices.by_index(OWNER_INDEX, endpoints["metadata"]["uid"])
            if (one["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER
        ]
        service = self._services.get(request.name, request.namespace)
        mirrored = is_mirrored(endpoints, service)
        await self._bring(wanted(endpoints) if mirrored else [], existing)
        if mirrored and (left_out := skipped(endpoints)):
            text = (
                f"A max of {ADDRESSES_MAX} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                f"{left_out} addresses were skipped"
            )
            self._recorder.event(endpoints, "Warning", "TooManyAddressesToMirror", text)
        return None

    async def _bring(self, desired: Iterable[Obj], existing: list[Obj]) -> None:
        """In as few writes as there are differences: what is right stays, what has the right family is rewritten."""
        left = list(existing)
        missing: list[Obj] = []
        for one in desired:
            same = next((old for old in left if _content(old) == _content(one)), None)
            if same is not None:
                left.remove(same)
            else:
                missing.append(one)
        for one in missing:
            old = next((old for old in left if old["addressType"] == one["addressType"]), None)
            if old is None:
                await self._client.create(ENDPOINT_SLICES, one)
                continue
            left.remove(old)
            metadata = {**old["metadata"], "labels": one["metadata"]["labels"]}
            metadata["annotations"] = one["metadata"].get("annotations", {})
            await self._client.update(ENDPOINT_SLICES, {**one, "metadata": metadata})
        for old in left:
            await delete_exactly(self._client, ENDPOINT_SLICES, old)
