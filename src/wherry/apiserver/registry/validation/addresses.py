"""Addresses and networks as text. Old fields take any spelling without leading zeros; new ones only the canonical one."""

from __future__ import annotations

import ipaddress
import re
from typing import TypeAlias

from wherry.api.errors import Cause
from wherry.api.integers import capped
from wherry.apiserver.registry.validation import field as f

NOT_AN_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NOT_A_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_ZEROS = re.compile(r"(^|\.)0+(?=[0-9])")

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_ip(value: str) -> Address | None:
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        return None


def ip_address(value: str, path: str) -> list[Cause]:
    """An IPv4 or IPv6 address: without leading zeros, and not IPv4 in the clothes of IPv6."""
    address = parse_ip(value)
    if address is None:
        sloppy = "%" not in value and parse_ip(_bare(value)) is not None
        return [f.invalid(path, value, "must not have leading 0s" if sloppy else NOT_AN_IP)]
    if "%" in value:
        return [f.invalid(path, value, NOT_AN_IP)]
    mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
    return [f.invalid(path, value, "must not be an IPv4-mapped IPv6 address")] if mapped else []


def canonical_ip(value: str, path: str) -> list[Cause]:
    """`ip_address` in the one spelling of RFC 5952."""
    causes = ip_address(value, path)
    if causes or str(parse_ip(value)) == value:
        return causes
    return [f.invalid(path, value, f"must be in canonical form ({f.quote(str(parse_ip(value)))})")]


def cidr(value: str, path: str) -> list[Cause]:
    """A network: no bits set behind its prefix, no leading zeros."""
    address, slash, length = value.partition("/")
    if not slash or not re.fullmatch("[0-9]+", length):
        return [f.invalid(path, value, NOT_A_CIDR)]
    sloppy = f"{_bare(address)}/{capped(length)}"
    try:
        network = ipaddress.ip_network(sloppy, strict=False)
    except ValueError:
        return [f.invalid(path, value, NOT_A_CIDR)]
    if sloppy != value:
        return [f.invalid(path, value, "must not have leading 0s in IP or prefix length")]
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        return [f.invalid(path, value, "must not have an IPv4-mapped IPv6 address")]
    if parse_ip(address) != network.network_address:
        return [f.invalid(path, value, "must not have bits set beyond the prefix length")]
    return []


def canonical_cidr(value: str, path: str) -> list[Cause]:
    causes = cidr(value, path)
    if causes or str(ipaddress.ip_network(value)) == value:
        return causes
    return [f.invalid(path, value, f"must be in canonical form ({f.quote(str(ipaddress.ip_network(value)))})")]


def _bare(value: str) -> str:
    """Without the leading zeros of IPv4's numbers."""
    return value if ":" in value else _ZEROS.sub(r"\1", value)


def ip_warnings(value: str, path: str) -> list[str]:
    """An IPv6 address in a spelling that compares unequal to its usual one."""
    address = parse_ip(value)
    if address is None or address.version == 4 or str(address) == value:
        return []
    return [f"{path}: IPv6 address {f.quote(value)} should be in RFC 5952 canonical format ({f.quote(str(address))})"]


def cidr_warnings(value: str, path: str) -> list[str]:
    try:
        network = ipaddress.ip_network(value)
    except ValueError:
        return []
    if network.version == 4 or str(network) == value:
        return []
    said = f"IPv6 CIDR value {f.quote(value)} should be in RFC 5952 canonical format ({f.quote(str(network))})"
    return [f"{path}: {said}"]
