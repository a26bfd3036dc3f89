"""`services/NAME/proxy`, `pods/NAME/proxy`, `nodes/NAME/proxy`: HTTP of any method to what runs in the cluster.

NAME may say more: `NAME:PORT` and `SCHEME:NAME:PORT`, the port a number or a Service's name for it. Certificates of pods are
not checked: they are for whoever the pod thinks it serves (Kubernetes does the same). Nodes are their kubelet's socket.
"""

from __future__ import annotations

import ipaddress

from msgspec import Struct

from wherry.api.errors import StatusError, bad_request, not_found
from wherry.api.resources import ENDPOINTS, SERVICES
from wherry.api.types import Obj
from wherry.apiserver import backends
from wherry.apiserver.backends import Backend
from wherry.apiserver.core import Call, Core
from wherry.apiserver.http import Answer
from wherry.apiserver.outward_client import Place
from wherry.apiserver.proxying import Backing, forward, redirect_to_slash


class Reference(Struct, frozen=True):
    """What the name in the path means."""

    name: str
    port: str = ""
    scheme: str = ""


def parse(text: str) -> Reference | None:
    """`name`, `name:port`, `scheme:name:port`; None for anything else."""
    parts = text.split(":")
    if len(parts) == 1:
        found = Reference(parts[0])
    elif len(parts) == 2:
        found = Reference(parts[0], parts[1])
    elif len(parts) == 3 and parts[0] in ("", "http", "https"):
        found = Reference(parts[1], parts[2], parts[0])
    else:
        return None
    return found if found.name else None


async def handle(core: Core, call: Call) -> Answer:
    info, request = call.info, call.request
    singular = call.resource.resource.removesuffix("s")
    reference = parse(info.name)
    if reference is None:
        raise bad_request(f'invalid {singular} request "{info.name}"')
    place = {"service": _service, "pod": _pod, "node": _node}[singular](core, call, reference)
    prefix, path = split(request.path, bool(info.namespace))
    if not path and "upgrade" not in request.headers:
        return redirect_to_slash(request)
    host = request.headers.get("host", "") or f"{place.host}:{place.port}"
    return await forward(core.connections, request, Backing(place, host, path or "/", prefix))


def split(raw_path: str, namespaced: bool) -> tuple[str, str]:
    """(up to `/proxy`, what follows it), both as they were escaped."""
    parts = raw_path.split("/")
    at = 8 if namespaced else 6
    return "/".join(parts[:at]), "".join(f"/{each}" for each in parts[at:])


def _service(core: Core, call: Call, reference: Reference) -> Place:
    reader, namespace = core.reader, call.info.namespace
    port = reference.port
    if port.isascii() and port.isdigit():
        service = reader.get(SERVICES, reference.name, namespace)
        if service is None:
            raise not_found("services", reference.name)
        port = _name_of(service, int(port))
    ready = backends.endpoints(reader, namespace, reference.name, port)
    if not ready:
        if reader.get(ENDPOINTS, reference.name, namespace) is None:
            raise not_found("endpoints", reference.name)
        named = call.info.name if port else reference.name
        raise backends.unavailable(f'no endpoints available for service "{named}"')
    return _place(core.rng.choice(ready), reference)


def _name_of(service: Obj, number: int) -> str:
    for port in service.get("spec", {}).get("ports") or []:
        if port["port"] == number:
            return str(port.get("name") or "")
    name = service["metadata"]["name"]
    raise StatusError(503, "ServiceUnavailable", f'no service port {number} found for service "{name}"')


def _pod(core: Core, call: Call, reference: Reference) -> Place:
    pod = call.registry.get(call.info.namespace, reference.name).value
    port = reference.port
    if not port:
        declared = (each for container in pod["spec"].get("containers", []) for each in container.get("ports") or [])
        port = str(next((each["containerPort"] for each in declared), ""))
    host = (pod.get("status") or {}).get("podIP", "")
    if not is_global_unicast(host):
        raise bad_request("address not allowed")
    return _place(Backend(host, _number(port, reference.scheme)), reference)


def _node(core: Core, call: Call, reference: Reference) -> Place:
    node = call.registry.get("", reference.name).value
    status = node.get("status") or {}
    daemon = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
    if not reference.port or reference.port == str(daemon):
        return Place("kubelet", 0, tls=False, socket=core.kubelet_socket(reference.name))
    addresses = [each["address"] for each in status.get("addresses") or [] if each["type"] == "InternalIP"]
    if not addresses or not is_global_unicast(addresses[0]):
        raise bad_request("address not allowed")
    return _place(Backend(addresses[0], _number(reference.port, reference.scheme)), reference)


def _place(backend: Backend, reference: Reference) -> Place:
    if reference.scheme == "https":
        return Place(backend.host, backend.port, tls=True, server_name=backend.host, insecure=True)
    return Place(backend.host, backend.port, tls=False)


def _number(text: str, scheme: str) -> int:
    if not text:
        return 443 if scheme == "https" else 80
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536):
        raise StatusError(
            503, "ServiceUnavailable", f"error trying to reach service: dial tcp: lookup tcp/{text}: unknown port"
        )
    return int(text)


def is_global_unicast(text: str) -> bool:
    """As Go has it: neither unspecified, loopback, multicast, link-local nor the broadcast address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    odd = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not odd and text != "255.255.255.255"
