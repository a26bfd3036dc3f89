"""A pod as a decision sees it: what it asks for, worked out once per version. Nothing about where it is."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from wherry.api.types import Obj
from wherry.scheduler.requests import Amounts, pod_requests

REPLICATED = frozenset({"ReplicaSet", "ReplicationController", "StatefulSet"})
"""Kinds whose pods are spread over nodes and zones without asking for it."""

HostPort = tuple[str, str, int]
"""(host IP, protocol, port); the empty IP and 0.0.0.0 mean every address."""


class PodInfo(Struct):
    """A pod and what deciding about it needs, worked out once per version."""

    pod: Obj
    uid: str
    namespace: str
    name: str
    requests: Amounts
    scored: Amounts
    ports: frozenset[HostPort]
    priority: int
    kin: str = ""
    """uid of the ReplicaSet, ReplicationController or StatefulSet it is a replica of; empty without one, and of a pod that
    is on its way out: it is not counted where replicas are."""
    images: tuple[str, ...] = ()
    """Of each container and image volume, with their tags."""
    compiled: dict[str, Any] = field(default_factory=dict)
    """Plugins keep here what they parse from the spec (selectors, terms), under their own name."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @classmethod
    def of(cls, pod: Obj) -> PodInfo:
        metadata, spec = pod["metadata"], pod["spec"]
        return cls(
            pod,
            metadata["uid"],
            metadata.get("namespace", ""),
            metadata["name"],
            pod_requests(pod),
            pod_requests(pod, scoring=True),
            _host_ports(spec),
            spec.get("priority") or 0,
            _kin(metadata),
            _images(spec),
        )


def _kin(metadata: Obj) -> str:
    if "deletionTimestamp" in metadata:
        return ""
    owners = metadata.get("ownerReferences") or ()
    return next((str(one["uid"]) for one in owners if one.get("controller") and one.get("kind") in REPLICATED), "")


def _images(spec: Obj) -> tuple[str, ...]:
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    names = [one.get("image") or "" for one in containers]
    names += [one["image"].get("reference") or "" for one in spec.get("volumes") or () if one.get("image")]
    return tuple(_tagged(name) for name in names if name)


def _tagged(image: str) -> str:
    """As a node names it: an image without a tag is the `latest`."""
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"


def _host_ports(spec: Obj) -> frozenset[HostPort]:
    containers = [*(spec.get("containers") or ()), *_sidecars(spec)]
    return frozenset(
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in containers
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


def _sidecars(spec: Obj) -> list[Obj]:
    return [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
