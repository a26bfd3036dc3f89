"""Which EndpointSlices a Service should have, in as few changes to those it has as possible. Pure.

One slice holds at most MAX endpoints of one address family that all have the same ports. A Service without endpoints
has one empty slice, so that watchers know it was looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from wherry.api.types import Obj
from wherry.reconcile.ownership import controller_ref
from wherry.reconcile.pods import is_ready, is_terminating
from wherry.reconcile.service_pods import (
    HEADLESS_LABEL,
    address_of_family,
    has_address,
    hostname_in,
    is_headless,
    ports_on,
    target_ref,
)

MAX = 100
"""kube-controller-manager's maxEndpointsPerSlice."""

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
ZONE = "topology.kubernetes.io/zone"

PortsKey = tuple[tuple[str, int, str, str], ...]


class Plan(Struct):
    create: list[Obj] = field(default_factory=list)
    update: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)


class _Member(Struct, frozen=True):
    """What a pod comes to: under which ports and identity it appears, and how. Without `endpoint` it does not."""

    pod: Obj
    zone: str
    key: PortsKey = ()
    ports: list[Obj] = field(default_factory=list)
    identity: str = ""
    endpoint: Obj | None = None


class Memory:
    """What the pods of one Service came to at the last look, so that of thousands only those that changed are worked out
    again: pods are told apart by identity. Bounded by the pods that were looked at last."""

    def __init__(self) -> None:
        self._spec: Obj | None = None
        self._members: dict[tuple[str, str], _Member] = {}

    def members(self, service: Obj, pods: Sequence[Obj], family: str, zones: Mapping[str, str]) -> list[_Member]:
        """Of each pod, in their order."""
        if self._spec is not service["spec"]:
            self._spec, self._members = service["spec"], {}
        known, kept = self._members, {}
        for pod in pods:
            key = (family, pod["metadata"]["uid"])
            member, zone = known.get(key), zones.get(pod["spec"].get("nodeName", ""), "")
            if member is None or member.pod is not pod or member.zone != zone:
                member = _member(service, pod, family, zone, zones)
            kept[key] = member
        self._members = {key: one for key, one in known.items() if key[0] != family} | kept
        return list(kept.values())


def plan(
    service: Obj,
    pods: Iterable[Obj],
    existing: Iterable[Obj],
    zones: Mapping[str, str],
    memory: Memory | None = None,
) -> Plan:
    """`pods` are those the Service selects, `existing` the slices managed for it, `zones` the zone of each node. `memory`:
    of the looks before at this Service."""
    result = Plan()
    memory = memory or Memory()
    pods = list(pods)
    families = service["spec"].get("ipFamilies") or ["IPv4"]
    by_family: dict[str, list[Obj]] = {family: [] for family in families}
    for one in sorted(existing, key=lambda one: str(one["metadata"]["name"])):
        if one["addressType"] in by_family:
            by_family[one["addressType"]].append(one)
        else:
            result.delete.append(one)
    for family in families:
        wanted = _wanted(memory.members(service, pods, family, zones))
        _plan_family(service, family, wanted, by_family[family], result)
    return result


def endpoint(service: Obj, pod: Obj, address: str, zones: Mapping[str, str]) -> Obj:
    """How one pod appears. Ready means: send it new connections; serving: it could take them; both may be told to
    ignore readiness by publishNotReadyAddresses."""
    serving, terminating = is_ready(pod), is_terminating(pod)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    result: Obj = {
        "addresses": [address],
        "conditions": {
            "ready": publish or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": target_ref(pod),
    }
    node = pod["spec"].get("nodeName")
    if node:
        result["nodeName"] = node
        if zones.get(node):
            result["zone"] = zones[node]
    hostname = hostname_in(service, pod)
    if hostname:
        result["hostname"] = hostname
    return result


def labels(service: Obj) -> dict[str, str]:
    own = dict(service["metadata"].get("labels") or {})
    own.pop(HEADLESS_LABEL, None)
    own.pop(SERVICE_NAME, None)
    own.pop(MANAGED_BY, None)
    if is_headless(service):
        own[HEADLESS_LABEL] = ""
    own[SERVICE_NAME] = service["metadata"]["name"]
    own[MANAGED_BY] = MANAGER
    return own


class _Group(Struct):
    """Endpoints that share their ports, by what identifies them from one version to the next."""

    ports: list[Obj]
    endpoints: dict[str, Obj] = field(default_factory=dict)


def _member(service: Obj, pod: Obj, family: str, zone: str, zones: Mapping[str, str]) -> _Member:
    address = address_of_family(pod, family)
    if not address or not has_address(pod, include_terminating=True):
        return _Member(pod, zone)
    ports = ports_on(service, pod)
    if service["spec"].get("ports") and not ports:
        return _Member(pod, zone)  # it has none of the named ports: nothing to connect to
    one = endpoint(service, pod, address, zones)
    return _Member(pod, zone, _key(ports), ports, _identity(one), one)


def _wanted(members: Iterable[_Member]) -> dict[PortsKey, _Group]:
    groups: dict[PortsKey, _Group] = {}
    for one in members:
        if one.endpoint is not None:
            groups.setdefault(one.key, _Group(one.ports)).endpoints[one.identity] = one.endpoint
    return groups


def _plan_family(
    service: Obj, family: str, wanted: dict[PortsKey, _Group], existing: Sequence[Obj], result: Plan
) -> None:
    own_labels = labels(service)
    spare: list[Obj] = []
    kept = 0
    by_ports: dict[PortsKey, list[Obj]] = {}
    for one in existing:
        by_ports.setdefault(_key(one.get("ports") or ()), []).append(one)
    for key, group in wanted.items():
        contents = _distribute(group, by_ports.pop(key, []), spare)
        for before, endpoints in contents:
            after = _slice(service, family, group.ports, endpoints, own_labels, before)
            _store(before, after, result)
            kept += 1
    spare += [one for slices in by_ports.values() for one in slices]
    if kept == 0:
        before = spare.pop(0) if spare else None
        _store(before, _slice(service, family, [], [], own_labels, before), result)
    result.delete += spare


def _distribute(group: _Group, existing: Sequence[Obj], spare: list[Obj]) -> list[tuple[Obj | None, list[Obj]]]:
    """(slice or None for a new one, its endpoints): everyone stays where he is, newcomers fill the gaps."""
    waiting = dict(group.endpoints)
    stays: list[tuple[Obj, list[Obj]]] = []
    for one in existing:
        found = [waiting.pop(key) for entry in one.get("endpoints") or () if (key := _identity(entry)) in waiting]
        stays.append((one, found))
    newcomers = list(waiting.values())
    result: list[tuple[Obj | None, list[Obj]]] = []
    for one, found in stays:
        room = MAX - len(found)
        found += newcomers[:room]
        newcomers = newcomers[room:]
        if found:
            result.append((one, found))
        else:
            spare.append(one)
    result += [(None, newcomers[at : at + MAX]) for at in range(0, len(newcomers), MAX)]
    return result


def _slice(
    service: Obj, family: str, ports: list[Obj], endpoints: list[Obj], own_labels: dict[str, str], before: Obj | None
) -> Obj:
    if before is not None:
        metadata = {**before["metadata"], "labels": own_labels}
        return {**before, "metadata": metadata, "endpoints": endpoints, "ports": ports}
    name = service["metadata"]["name"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            # A generated name may be 253 characters long; the suffix takes five.
            "generateName": f"{name}-",
            "namespace": service["metadata"]["namespace"],
            "labels": own_labels,
            "ownerReferences": [controller_ref(service)],
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": ports,
    }


def _store(before: Obj | None, after: Obj, result: Plan) -> None:
    if before is None:
        result.create.append(after)
    elif any(_plain(before.get(key)) != _plain(after.get(key)) for key in ("endpoints", "ports")) or (
        before["metadata"].get("labels") != after["metadata"]["labels"]
    ):
        result.update.append(after)


def _plain(value: Any) -> Any:
    return value or []


def _key(ports: Iterable[Obj]) -> PortsKey:
    return tuple(
        sorted(
            (port.get("name") or "", port["port"], port.get("protocol") or "TCP", port.get("appProtocol") or "")
            for port in ports
        )
    )


def _identity(entry: Obj) -> str:
    ref = entry.get("targetRef") or {}
    return f"{ref.get('uid', '')}/{entry['addresses'][0]}"
