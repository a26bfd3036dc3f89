"""Endpoints and EndpointSlices: where the pods of a Service answer. Never on the loopback: that is another machine's."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import fill
from wherry.apiserver.registry.strategy import Context, Strategy
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation.addresses import parse_ip
from wherry.apiserver.registry.validation.service import PROTOCOLS, non_special_ip

MAX_ENDPOINTS, MAX_ADDRESSES, MAX_PORTS = 1000, 100, 20000
MAX_TOPOLOGY, MAX_ZONES = 16, 8
ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")


class EndpointsStrategy(Strategy):
    allow_create_on_update = True
    checks_metadata_again = True

    def default(self, obj: Obj) -> None:
        for subset in f.as_list(obj.get("subsets")):
            for port in f.as_list(subset.get("ports")):
                fill(port, protocol="TCP")

    def validate(self, obj: Obj) -> list[Cause]:
        causes: list[Cause] = []
        for i, subset in enumerate(f.as_list(obj.get("subsets"))):
            at = f"subsets[{i}]"
            ready, waiting = f.as_list(subset.get("addresses")), f.as_list(subset.get("notReadyAddresses"))
            if not ready and not waiting:
                causes.append(f.required(at, "must specify `addresses` or `notReadyAddresses`"))
            for key, addresses in (("addresses", ready), ("notReadyAddresses", waiting)):
                for k, address in enumerate(addresses):
                    causes += _address(address, f"{at}.{key}[{k}]")
            ports = f.as_list(subset.get("ports"))
            for k, port in enumerate(ports):
                causes += _port(port, len(ports) > 1, f"{at}.ports[{k}]")
        return causes


def _address(address: Obj, path: str) -> list[Cause]:
    causes = non_special_ip(address.get("ip") or "", f"{path}.ip")
    if address.get("hostname"):
        causes += f.each_invalid(f"{path}.hostname", address["hostname"], names.dns1123_label(address["hostname"]))
    if address.get("nodeName") is not None:
        causes += f.each_invalid(f"{path}.nodeName", address["nodeName"], names.dns1123_subdomain(address["nodeName"]))
    return causes


def _port(port: Obj, need_name: bool, path: str) -> list[Cause]:
    name = port.get("name") or ""
    causes: list[Cause] = []
    if need_name and not name:
        causes.append(f.required(f"{path}.name"))
    elif name:
        causes += f.each_invalid(f"{path}.name", name, names.dns1123_label(name))
    causes += f.port_number(port.get("port", 0), f"{path}.port")
    causes += f.one_of(port.get("protocol"), f"{path}.protocol", PROTOCOLS, need=True)
    application = port.get("appProtocol")
    return causes if application is None else causes + f.qualified(application, f"{path}.appProtocol")


class EndpointSliceStrategy(Strategy):
    has_generation = True

    def default(self, obj: Obj) -> None:
        for endpoint in f.as_list(obj.setdefault("endpoints", None)):
            if endpoint.get("conditions") is None:
                endpoint["conditions"] = {}
        for port in f.as_list(obj.setdefault("ports", None)):
            port.setdefault("name", "")
            fill(port, protocol="TCP")

    def validate(self, obj: Obj) -> list[Cause]:
        return self._check(obj, set())

    def _check(self, obj: Obj, known: set[str]) -> list[Cause]:
        kind = obj.get("addressType") or ""
        causes = f.one_of(kind, "addressType", ADDRESS_TYPES, need=True)
        endpoints = f.as_list(obj.get("endpoints"))
        if len(endpoints) > MAX_ENDPOINTS:
            return [*causes, f.too_many("endpoints", len(endpoints), MAX_ENDPOINTS)]
        for i, endpoint in enumerate(endpoints):
            causes += _endpoint(endpoint, kind, known, f"endpoints[{i}]")
        return causes + _slice_ports(f.as_list(obj.get("ports")))

    def check_changed(self, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        """Addresses that were there before are not judged again."""
        known = {address for each in f.as_list(old.get("endpoints")) for address in f.as_list(each.get("addresses"))}
        return self._check(obj, known) + self.validate_update(obj, old)

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return f.unchanged(obj.get("addressType"), old.get("addressType"), "addressType")

    def warnings(self, obj: Obj, old: Obj | None) -> list[str]:
        return ["spec.addressType: FQDN endpoints are deprecated"] if obj.get("addressType") == "FQDN" else []


def _endpoint(endpoint: Obj, kind: str, known: set[str], path: str) -> list[Cause]:
    addresses = f.as_list(endpoint.get("addresses"))
    causes: list[Cause] = []
    if not addresses:
        causes.append(f.required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > MAX_ADDRESSES:
        causes.append(f.too_many(f"{path}.addresses", len(addresses), MAX_ADDRESSES))
    for i, address in enumerate(addresses):
        causes += [] if address in known else _slice_address(address, kind, f"{path}.addresses", i)
    hostname = endpoint.get("hostname")
    if hostname is not None:
        causes += f.each_invalid(f"{path}.hostname", hostname, names.dns1123_label(hostname))
    node = endpoint.get("nodeName")
    if node is not None:
        causes += f.each_invalid(f"{path}.nodeName", node, names.dns1123_subdomain(node))
    topology, at = f.as_dict(endpoint.get("deprecatedTopology")), f"{path}.deprecatedTopology"
    if len(topology) > MAX_TOPOLOGY:
        causes.append(f.too_many(at, len(topology), MAX_TOPOLOGY))
    causes += f.labels(topology, at)
    return causes + _zones(f.as_list(f.as_dict(endpoint.get("hints")).get("forZones")), f"{path}.hints.forZones")


def _zones(zones: list[Obj], path: str) -> list[Cause]:
    """Zones an endpoint is best for, each once."""
    if len(zones) > MAX_ZONES:
        return [f.too_many(path, len(zones), MAX_ZONES)]
    causes: list[Cause] = []
    seen: set[str] = set()
    for i, zone in enumerate(zones):
        name, at = zone.get("name") or "", f"{path}[{i}].name"
        if name in seen:
            causes.append(f.duplicate(at, name))
        seen.add(name)
        causes += f.each_invalid(at, name, names.dns1123_subdomain(name))
    return causes


def _slice_address(address: str, kind: str, path: str, index: int) -> list[Cause]:
    if kind == "FQDN":
        return f.each_invalid(f"{path}[{index}]", address, names.fully_qualified(address))
    if kind not in ("IPv4", "IPv6"):
        return []
    parsed = parse_ip(address)
    if parsed is None or parsed.version != int(kind[-1]):
        return [f.invalid(path, address, f"must be an {kind} address")]
    return non_special_ip(address, f"{path}[{index}]")


def _slice_ports(ports: list[Obj]) -> list[Cause]:
    """Kubernetes looks at names and protocols; a number out of range it does not mind."""
    causes: list[Cause] = []
    if len(ports) > MAX_PORTS:
        return [f.too_many("ports", len(ports), MAX_PORTS)]
    seen: set[str] = set()
    for i, port in enumerate(ports):
        at, name = f"ports[{i}]", port.get("name") or ""
        if name:
            causes += f.each_invalid(f"{at}.name", name, names.dns1123_label(name))
        if name in seen:
            causes.append(f.duplicate(f"{at}.name", name))
        seen.add(name)
        causes += f.one_of(port.get("protocol"), f"{at}.protocol", PROTOCOLS, need=True)
        if port.get("appProtocol") is not None:
            causes += f.qualified(port["appProtocol"], f"{at}.appProtocol")
    return causes
