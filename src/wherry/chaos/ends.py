"""Whose packets a fault of the network is about: the pods at its two ends, as addresses. Pure but for asking `Cluster`.

An end is a label selector as kubectl writes it ("" is every pod of the namespace) or `service/NAME`, the pods that a Service
selects, ready or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from wherry.api.types import Obj
from wherry.chaos.faults import BadFault

ENDS = ("from", "to")
SERVICE_PREFIXES = ("service/", "services/", "svc/")
PODS_MAX = 5000
"""At each end."""
_OVER = ("Succeeded", "Failed")


class Cluster(Protocol):
    """What is asked of the API."""

    def pods(self, namespace: str, selector: str) -> Iterable[Obj]: ...

    def service(self, namespace: str, name: str) -> Obj | None:
        """None: there is none."""
        ...


def find(cluster: Cluster, where: Mapping[str, str]) -> dict[str, list[str]]:
    """Addresses by end, now. Raises BadFault for a Service that cannot say which pods are its."""
    namespaces = {"from": where.get("namespace", "default")}
    namespaces["to"] = where.get("to-namespace", namespaces["from"])
    return {end: _addresses(cluster, namespaces[end], where.get(end, "")) for end in ENDS}


def _addresses(cluster: Cluster, namespace: str, who: str) -> list[str]:
    kind = next((prefix for prefix in SERVICE_PREFIXES if who.startswith(prefix)), "")
    if kind:
        name = who.removeprefix(kind)
        service = cluster.service(namespace, name)
        if service is None:
            raise BadFault(f'services "{name}" not found in {namespace}')
        labels = (service.get("spec") or {}).get("selector") or {}
        if not labels:
            raise BadFault(f"service {namespace}/{name} has no selector, so that no pods are known to be its")
        who = ",".join(f"{key}={value}" for key, value in labels.items())
    return addresses(cluster.pods(namespace, who))


def addresses(pods: Iterable[Obj]) -> list[str]:
    """Of pods that have one of their own and are not over."""
    found = set()
    for pod in pods:
        status = pod.get("status") or {}
        address = status.get("podIP", "")
        if (pod.get("spec") or {}).get("hostNetwork") or status.get("phase") in _OVER or ":" in address:
            continue
        if address:
            found.add(address)
    return sorted(found)[:PODS_MAX]
