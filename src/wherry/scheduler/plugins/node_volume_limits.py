"""How many volumes of a CSI driver a node can have: what its CSINode says (`spec.drivers[].allocatable.count`).

Volumes count once however many pods there use them. Claims that are not bound yet count for the driver of their class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from wherry.api.types import Obj
from wherry.scheduler.framework import OK, SKIP, Filter, Happening, always
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot
from wherry.scheduler.volumes import Lookup, claim_names

REASON = "node(s) exceed max volume count"

Volume = tuple[str, str]
"""A driver, and what it calls the volume."""


def node_volume_limits(claims: Lookup, volumes: Lookup, classes: Lookup, csi_nodes: Lookup) -> Filter:
    """The filter, looking into these informers."""

    def prepare(pod: PodInfo, snapshot: Snapshot) -> Any:
        return (used_by(pod) if csi_nodes.list() else None) or SKIP

    def used_by(pod: PodInfo) -> set[Volume]:
        if not pod.pod["spec"].get("volumes"):
            return set()
        found = (claims.get(name, pod.namespace) for name, _ in claim_names(pod.pod))
        return {volume for claim in found if claim is not None and (volume := volume_of(claim)) is not None}

    def volume_of(claim: Obj) -> Volume | None:
        volume = volumes.get(claim["spec"].get("volumeName") or "")
        if volume is not None:
            csi = volume["spec"].get("csi")
            return (csi["driver"], csi["volumeHandle"]) if csi else None
        storage_class = classes.get(claim["spec"].get("storageClassName") or "")
        if storage_class is None:
            return None
        metadata = claim["metadata"]
        return storage_class["provisioner"], f"{metadata['namespace']}/{metadata['name']}"

    def check(pod: PodInfo, node: NodeInfo, wanted: set[Volume]) -> Sequence[str]:
        limits = limits_of(csi_nodes.get(node.name))
        if not any(driver in limits for driver, _ in wanted):
            return OK
        there = {volume for other in node.pods.values() for volume in used_by(other)}
        numbers = Counter(driver for driver, _ in there | wanted)
        more = {driver for driver, _ in wanted - there}
        return (REASON,) if any(numbers[driver] > limits.get(driver, numbers[driver]) for driver in more) else OK

    helped_by = frozenset({Happening.NODE_CHANGED, Happening.POD_GONE, Happening.CLAIM_CHANGED})
    return Filter("NodeVolumeLimits", check, helped_by, prepare, evictable=always)


def limits_of(csi_node: Obj | None) -> dict[str, int]:
    """Driver -> how many volumes; drivers without a limit are left out."""
    drivers = (csi_node or {}).get("spec", {}).get("drivers") or ()
    counts = {one["name"]: (one.get("allocatable") or {}).get("count") for one in drivers}
    return {name: count for name, count in counts.items() if count is not None}
