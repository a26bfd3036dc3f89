"""ServiceCIDRs and IPAddresses read as what they mean: ranges that Services get addresses of, and who holds an address.

Pure. Source: Kubernetes' "Extend Service IP Ranges".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final

from wherry.api.types import Obj

DEFAULT: Final = "kubernetes"
"""The ServiceCIDR of `--service-cidr`."""
FAMILY: Final = "ipaddress.kubernetes.io/ip-family"
MANAGED_BY: Final = "ipaddress.kubernetes.io/managed-by"
MANAGER: Final = "ipallocator.k8s.io"
READY: Final = "Ready"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(service_cidr: Obj) -> list[Network]:
    """Its ranges; what cannot be read was refused when it was written."""
    return [ipaddress.ip_network(each) for each in service_cidr["spec"].get("cidrs") or ()]


def is_ready(service_cidr: Obj) -> bool:
    """Whether addresses may be given out of it: the condition says so, and it is not about to go."""
    if "deletionTimestamp" in service_cidr["metadata"]:
        return False
    conditions = (service_cidr.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == READY and each.get("status") == "True" for each in conditions)


def is_service_address(address: Obj) -> bool:
    """Whether an IPAddress is of the kind we keep, one per address of a Service."""
    return (address["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER


def containing(service_cidrs: Iterable[Obj], inner: Network) -> Iterator[str]:
    """Names of those with a range in which `inner` lies whole."""
    for each in service_cidrs:
        if any(inner.version == net.version and inner.subnet_of(net) for net in networks(each)):  # type: ignore[arg-type]
            yield each["metadata"]["name"]
