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
FAMILIES = ("IPv4", "IPv6")
IP_MODES = ("Proxy", "VIP")
TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
PROTOCOLS = ("SCTP", "TCP", "UDP")
LOOPBACK = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
_LINK_LOCAL_MULTICAST = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}
_ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"
_MAX_AFFINITY_SECONDS = 86400


def address_rules(spec: Obj) -> list[Cause]:
    """What must hold of addresses and their families before anything is allocated."""
    if spec.get("type") == "ExternalName":
        return []
    one, many, path = spec.get("clusterIP") or "", f.as_list(spec.get("clusterIPs")), "spec.clusterIPs"
    causes: list[Cause] = []
    if one and not many:
        causes.append(f.required(path))
    elif one and many[0] != one:
        causes.append(f.invalid(path, many, "first value must match `clusterIP`"))
    elif many and not one:
        causes.append(f.invalid(path, many, "must be empty when `clusterIP` is not specified"))
    families = f.as_list(spec.get("ipFamilies"))
    for i, family in enumerate(families):
        at = f"spec.ipFamilies[{i}]"
        causes += f.one_of(family, at, FAMILIES, need=True)
        causes += [f.duplicate(at, family)] if family in families[:i] else []
    causes += f.one_of(spec.get("ipFamilyPolicy"), "spec.ipFamilyPolicy", FAMILY_POLICIES)
    return causes + _addresses(many, families, path)


def _addresses(many: list[str], families: list[str], path: str) -> list[Cause]:
    """One address per family, each of the family said for it; or None alone."""
    wrong: list[Cause] = []
    if many[:1] == ["None"] and len(many) > 1:
        wrong.append(f.invalid(path, many, "'None' must be the first and only value"))
    for i, address in enumerate(many):
        if i or address != "None":
            wrong += ip_address(address, f"{path}[{i}]")
    causes = list(wrong)
    if len(many) > 2:
        causes.append(f.invalid(path, many, "may only hold up to 2 values"))
    if wrong or many[:1] == ["None"]:
        return causes
    versions = [each.version for each in map(parse_ip, many) if each is not None]
    if len(many) > 1 and len(set(versions)) < 2:
        causes.append(f.invalid(path, many, "may specify no more than one IP for each IP family"))
    for i, (version, family) in enumerate(zip(versions, families, strict=False)):
        if family in FAMILIES and family != f"IPv{version}":
            detail = f"expected an {family} value as indicated by `ipFamilies[{i}]`"
            causes.append(f.invalid(f"{path}[{i}]", many[i], detail))
    return causes


def _types(spec: Obj) -> list[Cause]:
    """What a type must not have."""
    kind = spec.get("type")
    if kind == "ExternalName":
        said = [key for key in ("clusterIPs", "ipFamilies", "ipFamilyPolicy") if spec.get(key)]
        return [f.forbidden(f"spec.{key}", "may not be set for ExternalName services") for key in said]
    if kind in ("LoadBalancer", "NodePort") and spec.get("clusterIPs") == ["None"]:
        return [f.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")]
    return []


def _annotations(metadata: Obj, spec: Obj) -> list[Cause]:
    """Older ways to say what fields say now."""
    annotations, path = f.as_dict(metadata.get("annotations")), "metadata.annotations"
    mode, hints = annotations.get(TOPOLOGY_MODE), annotations.get(TOPOLOGY_HINTS)
    causes: list[Cause] = []
    if mode is not None and hints is not None and mode != hints:
        detail = f"must match annotations[{TOPOLOGY_HINTS}] when both are specified"
        causes.append(f.invalid(f"{path}[{TOPOLOGY_MODE}]", mode, detail))
    ranges, at = annotations.get(SOURCE_RANGES), f"{path}[{SOURCE_RANGES}]"
    if ranges is None or spec.get("loadBalancerSourceRanges"):
        return causes
    if spec.get("type") != "LoadBalancer":
        causes.append(f.forbidden(at, _ONLY_LOAD_BALANCER))
    for value in ranges.strip().split(",") if ranges.strip() else ():
        causes += cidr(value.strip(), at)
    return causes


def service(obj: Obj) -> list[Cause]:
    spec = obj["spec"]
    kind, headless = spec.get("type"), spec.get("clusterIP") == "None"
    causes: list[Cause] = []
    if not spec.get("ports") and not headless and kind != "ExternalName":
        causes.append(f.required("spec.ports"))
    causes += _annotations(obj["metadata"], spec) + _types(spec)
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
        if port.get("nodePort") and spec.get("type") == "ClusterIP":
            causes.append(f.forbidden(f"{at}.nodePort", "may not be used when `type` is 'ClusterIP'"))
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
    if internal or spec.get("type") in ("ClusterIP", "NodePort", "LoadBalancer"):
        causes += f.one_of(internal, "spec.internalTrafficPolicy", ("Cluster", "Local"), need=True)
    return causes


def _load_balancer(spec: Obj) -> list[Cause]:
    balanced = spec.get("type") == "LoadBalancer"
    causes: list[Cause] = []
    ranges = f.as_list(spec.get("loadBalancerSourceRanges"))
    if ranges and not balanced:
        causes.append(f.forbidden("spec.LoadBalancerSourceRanges", _ONLY_LOAD_BALANCER))
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
    """What may not change while the type stays."""
    causes = _same_addresses(spec, before)
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


def _same_addresses(spec: Obj, before: Obj) -> list[Cause]:
    """An address is for life, unless the Service has none for a while."""
    new, old = f.as_list(spec.get("clusterIPs")), f.as_list(before.get("clusterIPs"))
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return []
    if not new and old:
        return [f.invalid("spec.clusterIPs[0]", new, "primary clusterIP can not be unset")]
    return [
        f.invalid(f"spec.clusterIPs[{i}]", new, "may not change once set")
        for i, (now, then) in enumerate(zip(new, old, strict=False))
        if now != then
    ]


def status(obj: Obj) -> list[Cause]:
    """status.loadBalancer."""
    ingress = f.as_list(f.as_dict(f.as_dict(obj.get("status")).get("loadBalancer")).get("ingress"))
    path = "status.loadBalancer.ingress"
    if ingress and obj["spec"].get("type") != "LoadBalancer":
        return [f.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    causes = ingress_points(ingress, path)
    for i, point in enumerate(ingress):
        mode, at = point.get("ipMode"), f"{path}[{i}].ipMode"
        if point.get("ip"):
            causes += f.one_of(mode, at, IP_MODES) if mode else [
                f.required(at, "must be specified when `ip` is set")
            ]  # fmt: skip
        elif mode is not None:
            causes.append(f.forbidden(at, "may not be specified when `ip` is not set"))
    return causes


def ingress_points(ingress: list[Obj], path: str) -> list[Cause]:
    """Addresses and host names a load balancer answers at; Services and Ingresses share them."""
    causes: list[Cause] = []
    for i, point in enumerate(ingress):
        at = f"{path}[{i}]"
        if point.get("ip"):
            causes += ip_address(point["ip"], f"{at}.ip")
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
