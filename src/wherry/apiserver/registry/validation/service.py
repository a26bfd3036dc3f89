"""What makes a Service invalid."""

from __future__ import annotations

import ipaddress

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.addresses import cidr, ip_address, parse_ip

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
PROTOCOLS = ("SCTP", "TCP", "UDP")
LOOPBACK = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
_LINK_LOCAL_MULTICAST = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}
_ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"
_MAX_AFFINITY_SECONDS = 86400


def cluster_ip_rules(spec: Obj, before: Obj) -> list[Cause]:
    """What must hold of clusterIP(s) before anything is allocated; `before` is `{}` for a new Service."""
    one, many, kind = spec.get("clusterIP") or "", spec.get("clusterIPs") or [], spec.get("type")
    path = "spec.clusterIPs"
    if kind == "ExternalName":
        return [f.forbidden(path, "may not be set for ExternalName services")] if many else []
    causes: list[Cause] = []
    if many and one and many[0] != one:
        causes.append(f.invalid(path, many, "first value must match `clusterIP`"))
    elif many and not one:
        causes.append(f.required("spec.clusterIP", "must be set when `clusterIPs` is specified"))
    for i, address in enumerate(many):
        at = f"{path}[{i}]"
        if address == "None":
            if kind != "ClusterIP":
                causes.append(f.invalid(at, address, f"may not be set to 'None' for {kind} services"))
        else:
            causes += ip_address(address, at)
    if causes:
        return causes
    if before.get("clusterIPs") and before.get("type") != "ExternalName" and many and many != before["clusterIPs"]:
        return [f.invalid(f"{path}[0]", many, "may not change once set")]
    address = parse_ip(many[0]) if many and many[0] != "None" else None
    if address is not None and address.version == 6:
        return [f.invalid(f"{path}[0]", many, "IPv6 is not configured on this cluster")]
    return []


def service(obj: Obj) -> list[Cause]:
    spec = obj["spec"]
    kind, headless = spec.get("type"), spec.get("clusterIP") == "None"
    causes: list[Cause] = []
    if not spec.get("ports") and not headless and kind != "ExternalName":
        causes.append(f.required("spec.ports"))
    causes += _external_name(spec) if kind == "ExternalName" else []
    causes += _ports(spec)
    causes += f.labels(spec.get("selector"), "spec.selector")
    causes += f.one_of(spec.get("sessionAffinity"), "spec.sessionAffinity", ("ClientIP", "None"), need=True)
    causes += _affinity_seconds(spec)
    causes += f.one_of(kind, "spec.type", TYPES, need=True)
    for i, address in enumerate(f.as_list(spec.get("externalIPs"))):
        causes += non_special_ip(address, f"spec.externalIPs[{i}]")
    causes += _traffic(spec)
    causes += _load_balancer(spec)
    causes += f.one_of(spec.get("ipFamilyPolicy"), "spec.ipFamilyPolicy", FAMILY_POLICIES)
    distributions = ("PreferClose", "PreferSameZone", "PreferSameNode")
    return causes + f.one_of(spec.get("trafficDistribution"), "spec.trafficDistribution", distributions)


def _external_name(spec: Obj) -> list[Cause]:
    name = spec.get("externalName") or ""
    if not name:
        return [f.required("spec.externalName")]
    return f.each_invalid("spec.externalName", name, names.dns1123_subdomain(name.removesuffix(".")))


def _ports(spec: Obj) -> list[Cause]:
    ports = f.as_list(spec.get("ports"))
    causes: list[Cause] = []
    seen_names: set[str] = set()
    for i, port in enumerate(ports):
        at = f"spec.ports[{i}]"
        causes += _port_name(port.get("name") or "", len(ports) > 1, seen_names, f"{at}.name")
        causes += f.port_number(port.get("port", 0), f"{at}.port")
        causes += f.one_of(port.get("protocol"), f"{at}.protocol", PROTOCOLS, need=True)
        causes += f.port_number_or_name(port.get("targetPort", 0), f"{at}.targetPort")
        if port.get("appProtocol") is not None:
            causes += f.qualified(port["appProtocol"], f"{at}.appProtocol")
        if port.get("nodePort") and spec.get("type") in ("ClusterIP", "ExternalName"):
            causes.append(f.forbidden(f"{at}.nodePort", f"may not be used when `type` is '{spec['type']}'"))
    return causes + _duplicates(ports)


def _port_name(name: str, need: bool, seen: set[str], path: str) -> list[Cause]:
    if not name:
        return [f.required(path)] if need else []
    causes = f.each_invalid(path, name, names.dns1123_label(name))
    if name in seen:
        causes.append(f.duplicate(path, name))
    seen.add(name)
    return causes


def _duplicates(ports: list[Obj]) -> list[Cause]:
    """The same port twice, and the same node port for the same protocol twice."""
    causes: list[Cause] = []
    seen: set[tuple[str, int]] = set()
    seen_node: set[tuple[str, int]] = set()
    for i, port in enumerate(ports):
        protocol, number, node = port.get("protocol") or "", port.get("port") or 0, port.get("nodePort") or 0
        if (protocol, number) in seen:
            shown = {
                "Name": "",
                "Protocol": protocol,
                "AppProtocol": None,
                "Port": number,
                "TargetPort": 0,
                "NodePort": 0,
            }
            causes.append(f.duplicate(f"spec.ports[{i}]", shown))
        seen.add((protocol, number))
        if node and (protocol, node) in seen_node:
            shown = {
                "Name": "",
                "Protocol": protocol,
                "AppProtocol": None,
                "Port": 0,
                "TargetPort": 0,
                "NodePort": node,
            }
            causes.append(f.duplicate(f"spec.ports[{i}].nodePort", shown))
        seen_node.add((protocol, node))
    return causes


def _affinity_seconds(spec: Obj) -> list[Cause]:
    if spec.get("sessionAffinity") != "ClientIP":
        return []
    client = f.as_dict(f.as_dict(spec.get("sessionAffinityConfig")).get("clientIP"))
    seconds, path = client.get("timeoutSeconds"), "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
    if seconds is None:
        return [f.required(path)]
    if 0 < seconds <= _MAX_AFFINITY_SECONDS:
        return []
    return [f.invalid(path, seconds, f"must be greater than 0 and less than {_MAX_AFFINITY_SECONDS}")]


def _traffic(spec: Obj) -> list[Cause]:
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    reachable = spec.get("type") in ("NodePort", "LoadBalancer") or (
        spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs"))
    )
    causes: list[Cause] = []
    if external and not reachable:
        detail = "may only be set for externally-accessible services"
        causes.append(f.invalid("spec.externalTrafficPolicy", external, detail))
    elif reachable:
        causes += f.one_of(external, "spec.externalTrafficPolicy", ("Cluster", "Local"), need=True)
    if spec.get("type") != "ExternalName":
        causes += f.one_of(internal, "spec.internalTrafficPolicy", ("Cluster", "Local"), need=True)
    return causes


def _load_balancer(spec: Obj) -> list[Cause]:
    balanced = spec.get("type") == "LoadBalancer"
    causes: list[Cause] = []
    ranges = f.as_list(spec.get("loadBalancerSourceRanges"))
    if ranges and not balanced:
        causes.append(f.forbidden("spec.LoadBalancerSourceRanges", _ONLY_LOAD_BALANCER))
    elif ranges:
        for i, value in enumerate(ranges):
            causes += cidr(value.strip(), f"spec.LoadBalancerSourceRanges[{i}]")
    if spec.get("loadBalancerClass") is not None:
        if not balanced:
            causes.append(f.forbidden("spec.loadBalancerClass", _ONLY_LOAD_BALANCER))
        else:
            causes += f.qualified(spec["loadBalancerClass"], "spec.loadBalancerClass")
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balanced:
        causes.append(f.forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_LOAD_BALANCER))
    if spec.get("healthCheckNodePort") and not (balanced and spec.get("externalTrafficPolicy") == "Local"):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        causes.append(f.invalid("spec.healthCheckNodePort", spec["healthCheckNodePort"], detail))
    return causes


def update(spec: Obj, before: Obj) -> list[Cause]:
    """What may not change while the type stays; addresses were checked when they were allocated."""
    causes: list[Cause] = []
    if spec.get("type") == before.get("type") == "LoadBalancer":
        causes += f.unchanged(
            spec.get("loadBalancerClass"),
            before.get("loadBalancerClass"),
            "spec.loadBalancerClass",
            "may not change once set",
        )
    if before.get("healthCheckNodePort") and spec.get("healthCheckNodePort"):
        causes += f.unchanged(
            spec["healthCheckNodePort"], before["healthCheckNodePort"], "spec.healthCheckNodePort", f.IMMUTABLE
        )
    return causes


def status(obj: Obj) -> list[Cause]:
    """status.loadBalancer."""
    ingress = f.as_list(f.as_dict(f.as_dict(obj.get("status")).get("loadBalancer")).get("ingress"))
    path = "status.loadBalancer.ingress"
    if ingress and obj["spec"].get("type") != "LoadBalancer":
        return [f.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    return ingress_points(ingress, path)


def ingress_points(ingress: list[Obj], path: str) -> list[Cause]:
    """Addresses and host names a load balancer answers at; Services and Ingresses share them."""
    causes: list[Cause] = []
    for i, point in enumerate(ingress):
        at = f"{path}[{i}]"
        if point.get("ip"):
            causes += ip_address(point["ip"], f"{at}.ip")
        mode = point.get("ipMode")
        if mode is not None:
            causes += f.one_of(mode, f"{at}.ipMode", ("Proxy", "VIP"), need=True)
        if point.get("hostname"):
            causes += f.each_invalid(f"{at}.hostname", point["hostname"], names.dns1123_subdomain(point["hostname"]))
            if parse_ip(point["hostname"]) is not None:
                causes.append(f.invalid(f"{at}.hostname", point["hostname"], "must be a DNS name, not an IP address"))
    return causes


def warnings(spec: Obj) -> list[str]:
    """Old spellings of addresses."""
    found: list[str] = []
    if spec.get("externalIPs") is not None and spec.get("type") == "ExternalName":
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if spec.get("type") != "ExternalName" and spec.get("externalName"):
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("sessionAffinity") != "None" and spec.get("clusterIP") == "None":
        found.append("spec.SessionAffinity is ignored for headless services")
    return found


def non_special_ip(value: str, path: str) -> list[Cause]:
    """An address others can reach: none of the special ranges."""
    causes = ip_address(value, path)
    address = parse_ip(value)
    if causes or address is None:
        return causes
    if address.is_unspecified:
        causes.append(f.invalid(path, value, f"may not be unspecified ({value})"))
    if address.is_loopback:
        causes.append(f.invalid(path, value, LOOPBACK))
    if address.is_link_local:
        causes.append(f.invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
    if address in _LINK_LOCAL_MULTICAST[address.version]:
        causes.append(f.invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"))
    return causes
