"""IP addresses and ranges: `ip('10.0.0.1')`, `cidr('10.0.0.0/8').containsIP(...)`. Source: Kubernetes' IP and CIDR libraries."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from wherry.cel.errors import Failure
from wherry.cel.functions import Library, Overload, function, method
from wherry.cel.standard import traversal
from wherry.cel.types import BOOL, INT, STRING, opaque

IP: Final = opaque("net.IP")
CIDR: Final = opaque("net.CIDR")
_TEXT_MAX: Final = 100


class Address:
    """An IPv4 or IPv6 address without a zone."""

    __slots__ = ("ip",)
    type_name = "net.IP"

    def __init__(self, ip: IPv4Address | IPv6Address) -> None:
        self.ip = ip

    def equals(self, other: Address) -> bool:
        return self.ip == other.ip

    def __str__(self) -> str:
        return str(self.ip)


class Range:
    """A prefix as it was written: `ip` may have bits below the mask, which `network` has not."""

    __slots__ = ("ip", "network")
    type_name = "net.CIDR"

    def __init__(self, ip: IPv4Address | IPv6Address, network: IPv4Network | IPv6Network) -> None:
        self.ip = ip
        self.network = network

    def equals(self, other: Range) -> bool:
        return self.ip == other.ip and self.network == other.network

    def __str__(self) -> str:
        return f"{self.ip}/{self.network.prefixlen}"


@lru_cache(maxsize=256)  # rules ask about the same few ranges again and again; values never change
def _address(text: str) -> Address:
    try:
        found = ip_address(text[:_TEXT_MAX])
    except ValueError:
        raise Failure(
            f'IP Address "{text[:_TEXT_MAX]}" parse error during conversion from string: unable to parse IP'
        ) from None
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            raise Failure(f'IP address "{text}" with zone value is not allowed')
        if found.ipv4_mapped is not None:
            raise Failure(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return Address(found)


@lru_cache(maxsize=256)
def _range(text: str) -> Range:
    (base, slash, bits) = text[:_TEXT_MAX].partition("/")
    wrong = Failure(
        f'network address parse error during conversion from string: netip.ParsePrefix("{text[:_TEXT_MAX]}")'
    )
    if not slash or not bits.isascii() or not bits.isdigit() or (bits[0] == "0" and bits != "0"):
        raise wrong
    address = _address(base)
    try:
        return Range(address.ip, ip_network(f"{base}/{bits}", strict=False))
    except ValueError:
        raise wrong from None


def _is_ip(text: str) -> bool:
    try:
        _address(text)
    except Failure:
        return False
    return True


def _is_cidr(text: str) -> bool:
    try:
        _range(text)
    except Failure:
        return False
    return True


def _contains(outer: Range, ip: IPv4Address | IPv6Address) -> bool:
    return ip.version == outer.network.version and ip in outer.network


def _contains_range(outer: Range, inner: Range) -> bool:
    return _contains(outer, inner.network.network_address) and outer.network.prefixlen <= inner.network.prefixlen


def _global_unicast(ip: IPv4Address | IPv6Address) -> bool:
    """As Go's IsGlobalUnicast: private addresses count."""
    if ip == IPv4Address("255.255.255.255"):
        return False
    return not (ip.is_unspecified or ip.is_loopback or ip.is_multicast or ip.is_link_local)


def _link_local_multicast(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv4Address):
        return ip in IPv4Network("224.0.0.0/24")
    return ip.packed[0] == 0xFF and ip.packed[1] & 0x0F == 0x02


def _masked(value: Range) -> Range:
    return Range(value.network.network_address, value.network)


ADDRESSES: Final = Library(
    "ip and cidr",
    (
        function("ip", Overload((STRING,), IP, _address, traversal)),
        function("isIP", Overload((STRING,), BOOL, _is_ip, traversal)),
        function("ip.isCanonical", Overload((STRING,), BOOL, lambda text: str(_address(text)) == text, traversal)),
        method("family", Overload((IP,), INT, lambda value: value.ip.version)),
        method("isUnspecified", Overload((IP,), BOOL, lambda value: value.ip.is_unspecified)),
        method("isLoopback", Overload((IP,), BOOL, lambda value: value.ip.is_loopback)),
        method("isLinkLocalMulticast", Overload((IP,), BOOL, lambda value: _link_local_multicast(value.ip))),
        method("isLinkLocalUnicast", Overload((IP,), BOOL, lambda value: value.ip.is_link_local)),
        method("isGlobalUnicast", Overload((IP,), BOOL, lambda value: _global_unicast(value.ip))),
        function("cidr", Overload((STRING,), CIDR, _range, traversal)),
        function("isCIDR", Overload((STRING,), BOOL, _is_cidr, traversal)),
        method(
            "containsIP",
            Overload((CIDR, IP), BOOL, lambda outer, value: _contains(outer, value.ip)),
            Overload((CIDR, STRING), BOOL, lambda outer, text: _contains(outer, _address(text).ip)),
        ),
        method(
            "containsCIDR",
            Overload((CIDR, CIDR), BOOL, _contains_range),
            Overload((CIDR, STRING), BOOL, lambda outer, text: _contains_range(outer, _range(text))),
        ),
        method("ip", Overload((CIDR,), IP, lambda value: Address(value.ip))),
        method("masked", Overload((CIDR,), CIDR, _masked)),
        method("prefixLength", Overload((CIDR,), INT, lambda value: value.network.prefixlen)),
        function("string", Overload((IP,), STRING, str), Overload((CIDR,), STRING, str)),
    ),
    classes={"net.IP": Address, "net.CIDR": Range},
    types={"net.IP": IP, "net.CIDR": CIDR},
)
