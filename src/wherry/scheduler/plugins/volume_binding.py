"""A pod goes where its volumes are, or can be; claims that do not wait for it must be bound before."""

from __future__ import annotations

from collections.abc import Sequence

from wherry.scheduler.framework import OK, SKIP, Filter, Happening
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot
from wherry.scheduler.volumes import Needs, Volumes


def volume_binding(volumes: Volumes) -> Filter:
    def prepare(pod: PodInfo, snapshot: Snapshot) -> object:
        return volumes.needs(pod) or SKIP

    def check(pod: PodInfo, node: NodeInfo, needs: Needs) -> Sequence[str]:
        reason = volumes.refusal(needs, node)
        return (reason,) if reason else OK

    helped_by = frozenset({Happening.CLAIM_CHANGED, Happening.NODE_CHANGED})
    return Filter("VolumeBinding", check, helped_by, prepare)
