"""A pod waits until its claims are bound, and goes where its volumes are.

Binding itself is the volume controller's; a claim of a class that waits for its first consumer is bound by that
controller as soon as a pod uses it, so here too "not bound yet" just means "wait".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from wherry.api.node_selectors import term_matches
from wherry.api.types import Obj
from wherry.scheduler.framework import OK, SKIP, Filter, Happening, Refused
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.snapshot import Snapshot


class Lookup(Protocol):
    """An informer, as far as this rule is concerned."""

    def get(self, name: str, namespace: str | None = None) -> Obj | None: ...


def claim_names(pod: Obj) -> list[str]:
    """The claims a pod's volumes name, generic ephemeral ones by the name their claim will get."""
    names: list[str] = []
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            names.append(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            names.append(f"{pod['metadata']['name']}-{volume['name']}")
    return names


def volume_binding(claims: Lookup, volumes: Lookup) -> Filter:
    """The filter, reading claims and volumes from these informers."""

    def prepare(pod: PodInfo, snapshot: Snapshot) -> object:
        names = claim_names(pod.pod)
        if not names:
            return SKIP
        bound: list[Obj] = []
        for name in names:
            volume = _volume_of(pod.namespace, name)
            if volume is not None:
                bound.append(volume)
        affinities = [
            terms
            for volume in bound
            if (terms := ((volume["spec"].get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms"))
        ]
        return affinities or SKIP

    def _volume_of(namespace: str, name: str) -> Obj | None:
        claim = claims.get(name, namespace)
        if claim is None:
            raise Refused(f'persistentvolumeclaim "{name}" not found')
        if "deletionTimestamp" in claim["metadata"]:
            raise Refused(f'persistentvolumeclaim "{name}" is being deleted')
        phase = claim.get("status", {}).get("phase")
        if phase == "Lost":
            raise Refused(f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{_bound_to(claim)}"')
        if phase != "Bound":
            raise Refused("pod has unbound immediate PersistentVolumeClaims")
        return volumes.get(_bound_to(claim))

    def check(pod: PodInfo, node: NodeInfo, affinities: list[list[Obj]]) -> Sequence[str]:
        if all(any(term_matches(term, node.name, node.labels) for term in terms) for terms in affinities):
            return OK
        return ("node(s) didn't match PersistentVolume's node affinity",)

    helped_by = frozenset({Happening.CLAIM_CHANGED, Happening.NODE_CHANGED})
    return Filter("VolumeBinding", check, helped_by, prepare)


def _bound_to(claim: Obj) -> str:
    return str(claim["spec"].get("volumeName", ""))
