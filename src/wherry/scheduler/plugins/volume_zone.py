"""A volume that is labelled with a zone or region is used from there only; `a__b` means either of them.

Volumes of today say so by their node affinity; the labels are what in-tree drivers wrote. A node without any such label is
not asked, as in a cluster of one zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from wherry.scheduler.framework import OK, SKIP, Filter, Happening
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot
from wherry.scheduler.volumes import Lookup, claim_names

REASON = "node(s) had no available volume zone"
_OLD_NAMES: Final = {
    "topology.kubernetes.io/zone": "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region": "failure-domain.beta.kubernetes.io/region",
}
LABELS: Final = (*_OLD_NAMES, *_OLD_NAMES.values())
_SAME: Final = {**_OLD_NAMES, **{old: new for new, old in _OLD_NAMES.items()}}

Places = list[tuple[str, frozenset[str]]]
"""A label and the values that will do."""


def volume_zone(claims: Lookup, volumes: Lookup) -> Filter:
    """The filter, looking into these informers."""

    def prepare(pod: PodInfo, snapshot: Snapshot) -> Any:
        found: Places = []
        for name, _ in claim_names(pod.pod):
            claim = claims.get(name, pod.namespace)
            volume = volumes.get(claim["spec"].get("volumeName") or "") if claim is not None else None
            labels = (volume or {}).get("metadata", {}).get("labels") or {}
            found += [(key, frozenset(labels[key].split("__"))) for key in LABELS if labels.get(key)]
        return found or SKIP

    def check(pod: PodInfo, node: NodeInfo, places: Places) -> Sequence[str]:
        if not any(key in node.labels for key in LABELS):
            return OK
        fits = all((node.labels.get(key) or node.labels.get(_SAME[key])) in values for key, values in places)
        return OK if fits else (REASON,)

    return Filter("VolumeZone", check, frozenset({Happening.NODE_CHANGED, Happening.CLAIM_CHANGED}), prepare)
