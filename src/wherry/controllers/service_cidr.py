"""Keeps ServiceCIDRs: their condition Ready, which lets addresses be given out of them, and the finalizer that holds one
whose addresses would be left without a range.

Pure decision (`plan`) apart from its writes; keys are names of ServiceCIDRs. Kubernetes 1.33 and later. Source: what
Kubernetes documents in "Extend Service IP Ranges", with its texts, reasons and times.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from msgspec import Struct

from wherry.aio.clock import Clock, parse_rfc3339, rfc3339
from wherry.api.resources import IP_ADDRESSES, SERVICE_CIDRS
from wherry.api.service_ranges import READY, containing, is_service_address, networks
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.client.rest import Client
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import change, with_metadata, write_status_if_there

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
GRACE_SECONDS = 10.0
"""From the deletion on: an address that was being given out meanwhile shows itself."""
_IS_READY = ("True", "", "Kubernetes Service CIDR is ready")
_IS_HELD = (
    "False",
    "Terminating",
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
)


def build(parts: Parts) -> Controller:
    queue: WorkQueue[Request] = WorkQueue("service-cidr", parts.clock)
    ranges, addresses = sources = parts.factory.informer(SERVICE_CIDRS), parts.factory.informer(IP_ADDRESSES)

    def on_range(type: str, obj: Obj, old: Obj | None) -> None:
        if type != "deleted":
            queue.add(Request.of(obj))
        for each in ranges.list():  # one that comes or goes decides whether another may
            if type != "modified" and "deletionTimestamp" in each["metadata"]:
                queue.add(Request.of(each))

    def on_address(type: str, obj: Obj, old: Obj | None) -> None:
        if type != "modified":
            for each in ranges.list():
                if "deletionTimestamp" in each["metadata"]:
                    queue.add(Request.of(each))

    ranges.add_handler(on_range)
    addresses.add_handler(on_address)
    reconciler = Keeper(parts.client, ranges, addresses, parts.clock)
    return Controller("service-cidr", reconciler, queue, workers=1, sources=sources)


class Plan(Struct, frozen=True):
    """`holds`: whether it must get or lose the finalizer; `ready`: (status, reason, message). None: as it is."""

    holds: bool | None = None
    ready: tuple[str, str, str] | None = None
    again_in: float | None = None


def plan(service_cidr: Obj, others: Sequence[Obj], addresses: Sequence[Obj], now: float) -> Plan:
    """What to do about one ServiceCIDR, given the `others` and all IPAddresses."""
    metadata = service_cidr["metadata"]
    finalizers = metadata.get("finalizers") or []
    if "deletionTimestamp" not in metadata:
        return Plan(None if FINALIZER in finalizers else True, _news(service_cidr, _IS_READY))
    if FINALIZER not in finalizers:
        return Plan()
    if is_needed(service_cidr, others, addresses):
        return Plan(ready=_news(service_cidr, _IS_HELD))
    left = parse_rfc3339(metadata["deletionTimestamp"]) + GRACE_SECONDS - now
    if left > 0:
        return Plan(again_in=left)
    return Plan(holds=False)


def is_needed(service_cidr: Obj, others: Sequence[Obj], addresses: Sequence[Obj]) -> bool:
    """Whether an address of a Service would belong to no range without it."""
    mine = networks(service_cidr)
    if all(any(containing(others, each)) for each in mine):
        return False
    for each in filter(is_service_address, addresses):
        address = ipaddress.ip_network(each["metadata"]["name"])
        if any(containing([service_cidr], address)) and not any(containing(others, address)):
            return True
    return False


def _news(service_cidr: Obj, wanted: tuple[str, str, str]) -> tuple[str, str, str] | None:
    for each in (service_cidr.get("status") or {}).get("conditions") or ():
        if each.get("type") == READY and (each.get("status"), each.get("reason"), each.get("message")) == wanted:
            return None
    return wanted


def with_ready(status: Obj, ready: tuple[str, str, str], now: str) -> Obj:
    """The status with this condition; its time stays while its status does."""
    conditions = status.get("conditions") or []
    before = next((each for each in conditions if each.get("type") == READY), None)
    stays = before is not None and before.get("status") == ready[0]
    made = {
        "type": READY,
        "status": ready[0],
        "lastTransitionTime": before["lastTransitionTime"] if before is not None and stays else now,
        "reason": ready[1],
        "message": ready[2],
    }
    return {**status, "conditions": [*(each for each in conditions if each.get("type") != READY), made]}


def _held(live: Obj) -> Obj | None:
    finalizers = live["metadata"].get("finalizers") or []
    return None if FINALIZER in finalizers else with_metadata(live, finalizers=[*finalizers, FINALIZER])


def _free(live: Obj) -> Obj | None:
    finalizers = live["metadata"].get("finalizers") or []
    others = [each for each in finalizers if each != FINALIZER]
    return None if others == finalizers else with_metadata(live, finalizers=others or None)


class Keeper:
    """The reconciler."""

    def __init__(self, client: Client, ranges: Informer, addresses: Informer, clock: Clock) -> None:
        self._client = client
        self._ranges = ranges
        self._addresses = addresses
        self._clock = clock

    async def reconcile(self, request: Request) -> Result | None:
        present = self._ranges.get(request.name)
        if present is None:
            return None
        others = [each for each in self._ranges.list() if each["metadata"]["name"] != request.name]
        decided = plan(present, others, self._addresses.list(), self._clock.time())
        if decided.holds is not None:
            alter = _held if decided.holds else _free
            written = await change(self._client, SERVICE_CIDRS, present, alter)
            if written is None or not decided.holds:
                return None
            present = written
        if decided.ready is not None:
            status = with_ready(present.get("status") or {}, decided.ready, rfc3339(self._clock.time()))
            await write_status_if_there(self._client, SERVICE_CIDRS, present, status)
        return Result(requeue_after=decided.again_in)
