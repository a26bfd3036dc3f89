"""NetworkPolicies: whom pods may talk to."""

from __future__ import annotations

import ipaddress

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, fill, section
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import selectors
from wherry.apiserver.registry.validation.addresses import cidr

PROTOCOLS = ("TCP", "UDP", "SCTP")


class NetworkPolicyStrategy(BuiltIn):
    has_generation = True

    def default(self, obj: Obj) -> None:
        super().default(obj)
        spec = obj["spec"]
        section(spec, "podSelector")
        for direction in ("ingress", "egress"):
            for rule in f.as_list(spec.get(direction)):
                for port in f.as_list(rule.get("ports")):
                    fill(port, protocol="TCP")
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]

    def validate(self, obj: Obj) -> list[Cause]:
        spec = obj["spec"]
        causes = selectors.label_selector(spec["podSelector"], "spec.podSelector")
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for i, rule in enumerate(f.as_list(spec.get(direction))):
                at = f"spec.{direction}[{i}]"
                for k, port in enumerate(f.as_list(rule.get("ports"))):
                    causes += _port(port, f"{at}.ports[{k}]")
                for k, peer in enumerate(f.as_list(rule.get(peers))):
                    causes += _peer(peer, f"{at}.{peers}[{k}]")
        types = f.as_list(spec.get("policyTypes"))
        if len(types) > 2:
            return [*causes, f.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")]
        for i, kind in enumerate(types):
            causes += f.one_of(kind, f"spec.policyTypes[{i}]", ("Ingress", "Egress"), need=True)
        return causes


def _port(port: Obj, path: str) -> list[Cause]:
    number, end = port.get("port"), port.get("endPort")
    causes = f.one_of(port.get("protocol"), f"{path}.protocol", PROTOCOLS)
    if number is not None:
        causes += f.port_number_or_name(number, f"{path}.port")
    if end is None:
        return causes
    if number is None:
        causes.append(f.invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified"))
    elif isinstance(number, str):
        causes.append(f.invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric"))
    else:
        if end < number:
            # Kubernetes shows the port here, not the endPort.
            causes.append(f.invalid(f"{path}.endPort", number, "must be greater than or equal to `port`"))
        causes += f.port_number(end, f"{path}.endPort")
    return causes


def _peer(peer: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    chosen = [key for key in ("podSelector", "namespaceSelector") if peer.get(key) is not None]
    for key in chosen:
        causes += selectors.label_selector(peer[key], f"{path}.{key}")
    block = peer.get("ipBlock")
    if block is not None:
        causes += _block(block, f"{path}.ipBlock")
        if chosen:
            causes.append(f.forbidden(path, "may not specify both ipBlock and another peer"))
    elif not chosen:
        causes.append(f.required(path, "must specify a peer"))
    return causes


def _block(block: Obj, path: str) -> list[Cause]:
    value = block.get("cidr") or ""
    if not value:
        return [f.required(f"{path}.cidr")]
    causes = cidr(value, f"{path}.cidr")
    for i, hole in enumerate(f.as_list(block.get("except"))):
        at = f"{path}.except[{i}]"
        found = cidr(hole, at)
        causes += found
        if found or causes:
            continue
        inner, outer = (ipaddress.ip_network(each, strict=False) for each in (hole, value))
        strict = inner.version == outer.version and inner.prefixlen > outer.prefixlen
        if not strict or inner.network_address not in outer:
            causes.append(f.invalid(at, hole, "must be a strict subset of `cidr`"))
    return causes
