"""Which pod answers for a Service: its port and its ready endpoints, read from what is stored now.

Pure but for the choice among several. Texts are those of Kubernetes' proxy resolver, which its answers quote.
"""

from __future__ import annotations

import random

from msgspec import Struct

from wherry.api.errors import StatusError, not_found
from wherry.api.resources import ENDPOINT_SLICES, SERVICES
from wherry.api.types import Obj
from wherry.apiserver.registry.strategy import Reader

SERVICE_NAME = "kubernetes.io/service-name"


class Backend(Struct, frozen=True):
    host: str
    port: int


def unavailable(message: str) -> StatusError:
    return StatusError(503, "ServiceUnavailable", message)


def resolve(reader: Reader, namespace: str, name: str, port: int, rng: random.Random) -> Backend:
    """One ready endpoint of the Service's TCP port number `port`. Raises 404, 503."""
    service = reader.get(SERVICES, name, namespace)
    if service is None:
        raise not_found("service", name)
    spec = service.get("spec", {})
    if spec.get("type") == "ExternalName":
        return Backend(str(spec.get("externalName", "")), port)
    wanted = next((each for each in spec.get("ports") or [] if each["port"] == port), None)
    if wanted is None:
        raise unavailable(f'no service port {port} found for service "{name}"')
    return choose(reader, namespace, name, wanted.get("name", ""), rng)


def choose(reader: Reader, namespace: str, name: str, port_name: str, rng: random.Random) -> Backend:
    """One ready endpoint of the Service's port of that name. Raises 503."""
    ready = endpoints(reader, namespace, name, port_name)
    if not ready:
        raise unavailable(f'no endpoints available for service "{name}"')
    return rng.choice(ready)


def endpoints(reader: Reader, namespace: str, name: str, port_name: str) -> list[Backend]:
    """Every ready IPv4 address behind a port; headless Services without ports have none."""
    found: list[Backend] = []
    for each in reader.list(ENDPOINT_SLICES, namespace):
        if (each["metadata"].get("labels") or {}).get(SERVICE_NAME) == name and each.get("addressType") == "IPv4":
            found += _ready(each, port_name)
    return found


def _ready(piece: Obj, port_name: str) -> list[Backend]:
    ports = [
        port["port"]
        for port in piece.get("ports") or []
        if (port.get("name") or "") == port_name and port.get("port") and port.get("protocol", "TCP") == "TCP"
    ]
    return [
        Backend(address, port)
        for endpoint in piece.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint.get("addresses") or []
        for port in ports
    ]
