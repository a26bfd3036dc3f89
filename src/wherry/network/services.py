"""A Service and its EndpointSlices, resolved to what the network of this node does with them.

Is: the one pure reading of both kinds, shared by the rules (`nftables.py`), the names (`dns_zone.py`) and the NodePorts
(`nodeport.py`). Is not: an API object; it travels from the agent to netd as JSON.
Always true: `resolve` looks at nothing but its arguments; every tuple is sorted, so equal inputs give equal records.

Not honoured, and why: IPv6 and FQDN endpoints (the pod network is IPv4), SCTP (`unsupported` names the ports), topology
hints and `trafficDistribution` (one node: every endpoint is as near), `sessionAffinityConfig` (see `slots.sticky`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from wherry.api.types import Obj

PROTOCOLS = {"TCP": 6, "UDP": 17}


class Backend(NamedTuple):
    ip: str
    port: int


class ServicePort(msgspec.Struct, frozen=True, omit_defaults=True):
    """One port of a Service. `backends` is where connections go now, through the cluster address and the node port."""

    name: str
    protocol: str
    port: int
    node_port: int = 0
    backends: tuple[Backend, ...] = ()
    node_backends: tuple[Backend, ...] | None = None
    """Where they go through the node port, if that differs (externalTrafficPolicy and internalTrafficPolicy do)."""

    @property
    def through_node(self) -> tuple[Backend, ...]:
        return self.backends if self.node_backends is None else self.node_backends


class EndpointName(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ready endpoint as DNS sees it: `host` is its hostname or dashed address; ports are (name, protocol, port)."""

    host: str
    ip: str
    ports: tuple[tuple[str, str, int], ...] = ()


class ServiceRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one Service means here. `cluster_ip` is empty for a headless service and for ExternalName."""

    namespace: str
    name: str
    cluster_ip: str = ""
    headless: bool = False
    external_name: str = ""
    addresses: tuple[str, ...] = ()
    """externalIPs and load balancer addresses: routed like the cluster address for traffic from pods."""
    sticky: bool = False
    ports: tuple[ServicePort, ...] = ()
    endpoints: tuple[EndpointName, ...] = ()
    unsupported: tuple[str, ...] = ()
    """Ports that are refused, as `name/SCTP`: the agent says so in an event."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


def resolve(service: Obj, slices: Iterable[Obj], node: str = "") -> ServiceRecord:
    """The record of a Service given its IPv4 EndpointSlices. `node` is what the Local traffic policies compare with."""
    meta, spec = service["metadata"], service.get("spec") or {}
    name, namespace = meta["name"], meta["namespace"]
    if spec.get("type") == "ExternalName":
        return ServiceRecord(namespace, name, external_name=spec.get("externalName", ""))
    endpoints = [(slice_, e) for slice_ in slices for e in _endpoints(slice_)]
    cluster_ip = spec.get("clusterIP", "")
    ports, unsupported = [], []
    for port in spec.get("ports") or ():
        protocol = port.get("protocol", "TCP")
        if protocol in PROTOCOLS:
            ports.append(_port(port, protocol, spec, endpoints, node))
        else:
            unsupported.append(f"{port.get('name') or port['port']}/{protocol}")
    return ServiceRecord(
        namespace,
        name,
        cluster_ip="" if cluster_ip in ("", "None") or ":" in cluster_ip else cluster_ip,
        headless=cluster_ip == "None",
        addresses=tuple(sorted(_addresses(service))),
        sticky=spec.get("sessionAffinity") == "ClientIP",
        ports=tuple(ports),
        endpoints=tuple(sorted(_names(endpoints), key=lambda e: (e.host, e.ip))),
        unsupported=tuple(unsupported),
    )


def _endpoints(slice_: Obj) -> Iterator[Obj]:
    return iter(slice_.get("endpoints") or ()) if slice_.get("addressType") == "IPv4" else iter(())


def _addresses(service: Obj) -> set[str]:
    spec = service.get("spec") or {}
    balancer = (service.get("status") or {}).get("loadBalancer") or {}
    found = set(spec.get("externalIPs") or ())
    found |= {i["ip"] for i in balancer.get("ingress") or () if i.get("ip") and i.get("ipMode", "VIP") == "VIP"}
    return {address for address in found if ":" not in address}


def _port(port: Obj, protocol: str, spec: Obj, endpoints: list[tuple[Obj, Obj]], node: str) -> ServicePort:
    name = port.get("name", "")
    found = [
        (endpoint, Backend(address, number))
        for slice_, endpoint in endpoints
        for number in _numbers(slice_, name, protocol)
        for address in endpoint.get("addresses", ())[:1]  # consumers use the first address (discovery/v1 types.go)
    ]
    local = [(endpoint, backend) for endpoint, backend in found if endpoint.get("nodeName", "") == node]
    inside = _usable(local if spec.get("internalTrafficPolicy") == "Local" else found)
    outside = _usable(local if spec.get("externalTrafficPolicy") == "Local" else found)
    return ServicePort(
        name, protocol, port["port"], port.get("nodePort", 0), inside, None if outside == inside else outside
    )


def _numbers(slice_: Obj, name: str, protocol: str) -> Iterator[int]:
    for port in slice_.get("ports") or ():
        if (port.get("name") or "") == name and port.get("protocol", "TCP") == protocol and port.get("port"):
            yield port["port"]


def _usable(found: list[tuple[Obj, Backend]]) -> tuple[Backend, ...]:
    """Ready endpoints; if there are none, those that terminate but still serve (KEP-1669), as kube-proxy does."""
    ready = {backend for endpoint, backend in found if is_ready(endpoint)}
    if not ready:
        ready = {backend for endpoint, backend in found if _serves_while_terminating(endpoint)}
    return tuple(sorted(ready))


def is_ready(endpoint: Obj) -> bool:
    """A condition that is absent counts as ready (discovery/v1)."""
    return bool((endpoint.get("conditions") or {}).get("ready", True))


def _serves_while_terminating(endpoint: Obj) -> bool:
    conditions = endpoint.get("conditions") or {}
    return bool(conditions.get("terminating") and conditions.get("serving", True))


def _names(endpoints: list[tuple[Obj, Obj]]) -> Iterator[EndpointName]:
    """One per ready address; the ports of several slices with the same address are joined."""
    joined: dict[tuple[str, str], set[tuple[str, str, int]]] = {}
    for slice_, endpoint in endpoints:
        if not is_ready(endpoint):
            continue
        ports = {
            (port.get("name") or "", port.get("protocol", "TCP"), port["port"])
            for port in slice_.get("ports") or ()
            if port.get("port")
        }
        for ip in endpoint.get("addresses", ()):
            joined.setdefault((endpoint.get("hostname") or ip.replace(".", "-"), ip), set()).update(ports)
    for (host, ip), ports in joined.items():
        yield EndpointName(host, ip, tuple(sorted(ports)))
