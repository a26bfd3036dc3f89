"""Shows who holds which cluster address: one IPAddress for each address of a Service, named after it.

The API server gives addresses out by itself (`apiserver/registry/allocation.py`), so these objects only tell; one that somebody
deletes comes back, one whose Service is gone goes. IPAddresses of other managers are left alone. Kubernetes 1.33 and later.
"""

from __future__ import annotations

import ipaddress

from wherry.api.errors import StatusError, is_already_exists
from wherry.api.resources import IP_ADDRESSES, SERVICES
from wherry.api.service_ranges import FAMILY, MANAGED_BY, MANAGER, is_service_address
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
    services, addresses = sources = parts.factory.informer(SERVICES), parts.factory.informer(IP_ADDRESSES)
    services.add_index(ADDRESS_INDEX, addresses_of)

    def on_service(type: str, service: Obj, old: Obj | None) -> None:
        for address in {*addresses_of(service), *(addresses_of(old) if old is not None else ())}:
            queue.add(Request("", address))

    services.add_handler(on_service)
    addresses.add_handler(lambda type, obj, old: queue.add(Request.of(obj)))
    return Controller("ip-addresses", Teller(parts, services, addresses), queue, workers=workers, sources=sources)


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
    def __init__(self, parts: Parts, services: Informer, addresses: Informer) -> None:
        self._client = parts.client
        self._services = services
        self._addresses = addresses

    async def reconcile(self, request: Request) -> Result | None:
        address = request.name
        holders = self._services.by_index(ADDRESS_INDEX, address)
        desired = wanted(address, min(holders, key=lambda one: one["metadata"]["uid"])) if holders else None
        present = self._addresses.get(address)
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
