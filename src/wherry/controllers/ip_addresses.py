"""Shows who holds which cluster address: one IPAddress for each address of a Service, named after it.

The API server gives addresses out by itself (`apiserver/registry/allocation.py`), so these objects only tell; one that somebody
deletes comes back, one whose Service is gone goes. IPAddresses of other managers are left alone. A Service whose address is in no
range, or somebody else's, is told by an Event, as by Kubernetes' repair controller. Kubernetes 1.33 and later.
"""

from __future__ import annotations

import ipaddress

from wherry.api.errors import StatusError, is_already_exists
from wherry.api.resources import IP_ADDRESSES, SERVICE_CIDRS, SERVICES
from wherry.api.service_ranges import FAMILY, MANAGED_BY, MANAGER, containing, is_service_address
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly

ADDRESS_INDEX = "cluster-ip"


def build(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller; its keys are addresses."""
    queue: WorkQueue[Request] = WorkQueue("ip-addresses", parts.clock)
    services, addresses = parts.factory.informer(SERVICES), parts.factory.informer(IP_ADDRESSES)
    ranges = parts.factory.informer(SERVICE_CIDRS)
    services.add_index(ADDRESS_INDEX, addresses_of)

    def on_service(type: str, service: Obj, old: Obj | None) -> None:
        for address in {*addresses_of(service), *(addresses_of(old) if old is not None else ())}:
            queue.add(Request("", address))

    def on_range(type: str, obj: Obj, old: Obj | None) -> None:
        if type == "deleted":  # nothing but force takes one whose addresses are used
            for service in services.list():
                on_service(type, service, None)

    services.add_handler(on_service)
    ranges.add_handler(on_range)
    addresses.add_handler(lambda type, obj, old: queue.add(Request.of(obj)))
    teller = Teller(parts, services, addresses, ranges)
    return Controller("ip-addresses", teller, queue, workers=workers, sources=(services, addresses, ranges))


def addresses_of(service: Obj) -> list[str]:
    return [address for address in service["spec"].get("clusterIPs") or () if address not in ("", "None")]


def wanted(address: str, service: Obj) -> Obj:
    """The IPAddress of an address a Service holds."""
    metadata = service["metadata"]
    family = f"IPv{ipaddress.ip_address(address).version}"
    parent = {"resource": "services", "namespace": metadata["namespace"], "name": metadata["name"]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {"name": address, "labels": {FAMILY: family, MANAGED_BY: MANAGER}},
        "spec": {"parentRef": parent},
    }


class Teller:
    def __init__(self, parts: Parts, services: Informer, addresses: Informer, ranges: Informer) -> None:
        self._client = parts.client
        self._recorder = parts.recorder
        self._ranges = ranges
        self._services = services
        self._addresses = addresses

    async def reconcile(self, request: Request) -> Result | None:
        address = request.name
        holders = self._services.by_index(ADDRESS_INDEX, address)
        holders.sort(key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["uid"]))
        desired = wanted(address, holders[0]) if holders else None
        present = self._addresses.get(address)
        where = ipaddress.ip_network(address)
        ranges = self._ranges.list()
        if holders and ranges and not any(containing(ranges, where)):
            cause = "is not within any configured Service CIDR; please recreate service"
            text = f"Cluster IP [IPv{where.version}]: {address} {cause}"
            for each in holders:
                self._recorder.event(each, "Warning", "ClusterIPOutOfRange", text)
            return None
        for each in holders[1:]:
            text = (
                f"Cluster IP [IPv{where.version}]:{address} was assigned to multiple services; please recreate service"
            )
            self._recorder.event(each, "Warning", "ClusterIPAlreadyAllocated", text)
        if present is not None and not is_service_address(present):
            return None
        if present is not None and (desired is None or present["spec"] != desired["spec"]):
            await delete_exactly(self._client, IP_ADDRESSES, present)  # its end brings the key back
        elif present is None and desired is not None:
            try:
                await self._client.create(IP_ADDRESSES, desired)
            except StatusError as error:
                if not is_already_exists(error):
                    raise
        return None
