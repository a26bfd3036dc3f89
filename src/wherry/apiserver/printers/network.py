"""Rows of how pods are reached: services, endpoints, ingresses, policies."""

from __future__ import annotations

from typing import Any

from wherry.api.types import Obj
from wherry.apiserver.printers.form import (
    NONE,
    UNSET,
    Printer,
    age,
    columns,
    first_of,
    joined,
    labels_text,
    name,
    or_none,
    selector_text,
    spec,
    status,
)


def service(obj: Obj, now: float) -> list[Any]:
    ips = spec(obj).get("clusterIPs") or []
    ports = [_port(port) for port in spec(obj).get("ports") or []]
    return [
        name(obj),
        spec(obj).get("type", ""),
        or_none(ips[0] if ips else ""),
        _external_ip(obj),
        joined(ports),
        age(obj, now),
        labels_text(spec(obj).get("selector")),
    ]


def _port(port: Obj) -> str:
    (number, node_port, protocol) = (port.get("port"), port.get("nodePort"), port.get("protocol", "TCP"))
    return f"{number}:{node_port}/{protocol}" if node_port else f"{number}/{protocol}"


def _external_ip(obj: Obj) -> str:
    given = spec(obj).get("externalIPs") or []
    match spec(obj).get("type"):
        case "ExternalName":
            return str(spec(obj).get("externalName", ""))
        case "LoadBalancer":
            return joined([*_load_balancer(obj), *given], "<pending>")
        case _:
            return joined(given)


def _load_balancer(obj: Obj) -> list[str]:
    found = (status(obj).get("loadBalancer") or {}).get("ingress") or []
    return [entry.get("ip") or entry.get("hostname") or "" for entry in found]


def endpoints(obj: Obj, now: float) -> list[Any]:
    found: list[str] = []
    for subset in obj.get("subsets") or []:
        addresses = [address.get("ip", "") for address in subset.get("addresses") or []]
        ports = subset.get("ports") or []
        if ports:
            found += [_join_port(ip, port.get("port", 0)) for port in ports for ip in addresses]
        else:
            found += addresses
    return [name(obj), first_of(found, NONE), age(obj, now)]


def _join_port(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def endpoint_slice(obj: Obj, now: float) -> list[Any]:
    ports = [str(port.get("port") or port.get("name") or "*") for port in obj.get("ports") or []]
    addresses = [address for endpoint in obj.get("endpoints") or [] for address in endpoint.get("addresses") or []]
    return [name(obj), obj.get("addressType", ""), first_of(ports, UNSET), first_of(addresses, UNSET), age(obj, now)]


def ingress(obj: Obj, now: float) -> list[Any]:
    hosts = [rule["host"] for rule in spec(obj).get("rules") or [] if rule.get("host")]
    return [
        name(obj),
        or_none(spec(obj).get("ingressClassName")),
        first_of(hosts, "*"),
        ",".join(_load_balancer(obj)),
        "80, 443" if spec(obj).get("tls") else "80",
        age(obj, now),
    ]


def ingress_class(obj: Obj, now: float) -> list[Any]:
    parameters = NONE
    if reference := spec(obj).get("parameters"):
        parts = [reference.get("kind", ""), reference.get("apiGroup", "")]
        parameters = f"{'.'.join(filter(None, parts))}/{reference.get('name', '')}"
    return [name(obj), spec(obj).get("controller", ""), parameters, age(obj, now)]


def network_policy(obj: Obj, now: float) -> list[Any]:
    return [name(obj), selector_text(spec(obj).get("podSelector")), age(obj, now)]


def ip_address(obj: Obj, now: float) -> list[Any]:
    parent = spec(obj).get("parentRef") or {}
    resource = ".".join(filter(None, (parent.get("resource"), parent.get("group"))))
    return [name(obj), "/".join(filter(None, (resource, parent.get("namespace"), parent.get("name"))))]


def service_cidr(obj: Obj, now: float) -> list[Any]:
    return [name(obj), ",".join(spec(obj).get("cidrs") or []), age(obj, now)]


PRINTERS = {
    "/services": Printer(columns("Name|Type|Cluster-IP|External-IP|Port(s)|Age|+Selector"), service),
    "/endpoints": Printer(columns("Name|Endpoints|Age"), endpoints),
    "discovery.k8s.io/endpointslices": Printer(columns("Name|AddressType|Ports|Endpoints|Age"), endpoint_slice),
    "networking.k8s.io/ingresses": Printer(columns("Name|Class|Hosts|Address|Ports|Age"), ingress),
    "networking.k8s.io/ingressclasses": Printer(columns("Name|Controller|Parameters|Age"), ingress_class),
    "networking.k8s.io/networkpolicies": Printer(columns("Name|Pod-Selector|Age"), network_policy),
    "networking.k8s.io/ipaddresses": Printer(columns("Name|ParentRef"), ip_address),
    "networking.k8s.io/servicecidrs": Printer(columns("Name|CIDRs|Age"), service_cidr),
}
