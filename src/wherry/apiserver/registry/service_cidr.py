"""ServiceCIDRs and IPAddresses: the ranges Services get addresses of, and who holds which."""

from __future__ import annotations

import ipaddress

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import addresses
from wherry.apiserver.registry.validation import field as f

_ONE_PER_FAMILY = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


class ServiceCIDRStrategy(BuiltIn):
    has_generation = False
    empty_status = {}  # noqa: RUF012 - a constant

    def validate(self, obj: Obj) -> list[Cause]:
        spec, path = obj["spec"], "spec.cidrs"
        cidrs = f.as_list(spec.get("cidrs"))
        if not cidrs:
            return [f.required(path, "at least one CIDR required")]
        if len(cidrs) > 2:
            return [f.invalid(path, {"CIDRs": cidrs}, "may only hold up to 2 values")]
        if len(cidrs) == 2 and len(_families(cidrs)) < 2:
            return [f.invalid(path, {"CIDRs": cidrs}, _ONE_PER_FAMILY)]
        return [cause for i, cidr in enumerate(cidrs) for cause in addresses.canonical_cidr(cidr, f"{path}[{i}]")]

    def check_changed(self, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        return f.unchanged(obj["spec"].get("cidrs"), old["spec"].get("cidrs"), "spec.cidrs")


def _families(cidrs: list[str]) -> set[int]:
    """IP versions among the readable ones."""
    found: set[int] = set()
    for cidr in cidrs:
        try:
            found.add(ipaddress.ip_network(cidr, strict=False).version)
        except ValueError:
            return set()
    return found


class IPAddressStrategy(BuiltIn):
    has_generation = False

    def validate_name(self, name: str, prefix: bool = False) -> list[str]:
        return [cause.message.partition(": ")[2].partition(": ")[2] for cause in addresses.canonical_ip(name, "")]

    def validate(self, obj: Obj) -> list[Cause]:
        parent, path = obj["spec"].get("parentRef"), "spec.parentRef"
        if parent is None:
            return [f.required(path)]
        group, namespace = parent.get("group") or "", parent.get("namespace") or ""
        causes = f.each_invalid(f"{path}.group", group, names.dns1123_subdomain(group)) if group else []
        for key in ("resource", "name"):
            value, at = parent.get(key) or "", f"{path}.{key}"
            causes += f.each_invalid(at, value, names.path_segment(value)) if value else [f.required(at)]
        return causes + f.each_invalid(
            f"{path}.namespace", namespace, names.path_segment(namespace) if namespace else []
        )

    def check_changed(self, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        return f.unchanged(obj["spec"].get("parentRef"), old["spec"].get("parentRef"), "spec.parentRef")
