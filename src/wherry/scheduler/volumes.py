"""The volumes a pod needs: those its claims have, and those that wait for their first consumer to be given a node.

A claim of a class with WaitForFirstConsumer is not bound before a pod that uses it has a node. So here is decided, with
the node, where its volume comes from: one that lies there already (it is reserved by its claimRef), or one that will be
made for this node (the claim is annotated with it). The volume controller does the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from wherry.api.node_selectors import term_matches
from wherry.api.types import Obj
from wherry.reconcile.volume_matching import SELECTED_NODE, capacity, names, requested, suits
from wherry.scheduler.framework import Refused
from wherry.scheduler.node_info import NodeInfo
from wherry.scheduler.pod_info import PodInfo

NO_PROVISIONER = "kubernetes.io/no-provisioner"
"""The provisioner of classes whose volumes are made by people."""

_ELSEWHERE = "node(s) didn't match PersistentVolume's node affinity"
_NONE_HERE = "node(s) didn't find available persistent volumes to bind"
_LOST = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


class Lookup(Protocol):
    """An informer, as far as volumes are concerned."""

    def get(self, name: str, namespace: str | None = None) -> Obj | None: ...

    def list(self) -> list[Obj]: ...


def claim_names(pod: Obj) -> list[tuple[str, bool]]:
    """The claims a pod's volumes name, and whether each is made for this pod (generic ephemeral volumes)."""
    found: list[tuple[str, bool]] = []
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            found.append((volume["persistentVolumeClaim"]["claimName"], False))
        elif "ephemeral" in volume:
            found.append((f"{pod['metadata']['name']}-{volume['name']}", True))
    return found


class Needs(Struct, frozen=True):
    """`bound`: volumes the pod's claims have (None: one is missing). `waiting`: claims to be bound with the pod, the
    largest last, with their class."""

    bound: list[Obj | None]
    waiting: list[tuple[Obj, Obj]]


class Choice(Struct, frozen=True):
    """Where a waiting claim's volume comes from: `volume`, or a new one."""

    claim: Obj
    volume: Obj | None


class Volumes:
    """Reads the informers; remembers which volumes were chosen and are not reserved yet."""

    def __init__(self, claims: Lookup, volumes: Lookup, classes: Lookup) -> None:
        self._claims = claims
        self._volumes = volumes
        self._classes = classes
        self._chosen: dict[str, str] = {}
        """name of a volume -> uid of the claim it was chosen for."""

    def needs(self, pod: PodInfo) -> Needs | None:
        """None if the pod has no claims. Raises Refused if one of them is not ready for any node."""
        claims = [self._claim(pod, name, own) for name, own in claim_names(pod.pod)]
        if not claims:
            return None
        bound: list[Obj | None] = []
        waiting: list[tuple[Obj, Obj]] = []
        for claim in claims:
            if claim.get("status", {}).get("phase") == "Bound":
                bound.append(self._volumes.get(claim["spec"].get("volumeName", "")))
                continue
            storage_class = self._waiting_class(claim)
            if storage_class is None:
                raise Refused("pod has unbound immediate PersistentVolumeClaims")
            waiting.append((claim, storage_class))
        waiting.sort(key=lambda one: requested(one[0]))
        return Needs(bound, waiting)

    def _claim(self, pod: PodInfo, name: str, own: bool) -> Obj:
        claim = self._claims.get(name, pod.namespace)
        if claim is None and own:
            raise Refused(f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"')
        if claim is None:
            raise Refused(f'persistentvolumeclaim "{name}" not found')
        if "deletionTimestamp" in claim["metadata"]:
            raise Refused(f'persistentvolumeclaim "{name}" is being deleted')
        if claim.get("status", {}).get("phase") == "Lost":
            volume = claim["spec"].get("volumeName", "")
            raise Refused(f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"')
        owners = claim["metadata"].get("ownerReferences") or ()
        if own and not any(owner["uid"] == pod.uid and owner.get("controller") for owner in owners):
            raise Refused(f"PVC {pod.namespace}/{name} was not created for pod {pod.key} (pod is not owner)")
        return claim

    def _waiting_class(self, claim: Obj) -> Obj | None:
        """Its class, if that waits for the first consumer and the claim names no volume itself."""
        name = claim["spec"].get("storageClassName")
        storage_class = self._classes.get(name) if name else None
        if storage_class is None or claim["spec"].get("volumeName"):
            return None
        return storage_class if storage_class.get("volumeBindingMode") == "WaitForFirstConsumer" else None

    def refusal(self, needs: Needs, node: NodeInfo) -> str:
        """Why this node will not do; empty if it will."""
        if any(volume is None for volume in needs.bound):
            return _LOST
        if any(volume is not None and not _reachable(volume, node) for volume in needs.bound):
            return _ELSEWHERE
        return "" if not needs.waiting or self._choices(needs, node) is not None else _NONE_HERE

    def _choices(self, needs: Needs, node: NodeInfo) -> list[Choice] | None:
        """One for each waiting claim; None if there is none for one of them."""
        found: list[Choice] = []
        taken: set[str] = set()
        for claim, storage_class in needs.waiting:
            selected = (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE)
            if selected and selected != node.name:
                return None
            # Whoever was promised a new volume gets it: it may be on its way.
            volume = None if selected else self._free(claim, node, taken)
            if volume is None and not _can_be_made(storage_class, node):
                return None
            if volume is not None:
                taken.add(volume["metadata"]["name"])
            found.append(Choice(claim, volume))
        return found

    def _free(self, claim: Obj, node: NodeInfo, taken: set[str]) -> Obj | None:
        """The smallest volume the node reaches that suits the claim, or the one reserved for it."""
        best: Obj | None = None
        for volume in self._volumes.list():
            name = volume["metadata"]["name"]
            ref = volume["spec"].get("claimRef")
            if "deletionTimestamp" in volume["metadata"] or name in taken or not _reachable(volume, node):
                continue
            if ref is not None and names(ref, claim):
                return volume
            if ref is not None or self._chosen.get(name, claim["metadata"]["uid"]) != claim["metadata"]["uid"]:
                continue
            if suits(claim, volume) and (best is None or capacity(volume) < capacity(best)):
                best = volume
        return best

    def choose(self, pod: PodInfo, node: NodeInfo) -> list[Choice]:
        """What has to be done for the pod on the node that was decided; nobody else is given the same volumes until
        `done`."""
        needs = self.needs(pod)
        choices = (self._choices(needs, node) if needs is not None else None) or []
        for one in choices:
            if one.volume is not None:
                self._chosen[one.volume["metadata"]["name"]] = one.claim["metadata"]["uid"]
        return choices

    def done(self, choices: Iterable[Choice]) -> None:
        for one in choices:
            if one.volume is not None:
                self._chosen.pop(one.volume["metadata"]["name"], None)

    def is_bound(self, claim: Obj) -> bool | None:
        """Whether this very claim is bound by now; None if it is gone."""
        metadata = claim["metadata"]
        now = self._claims.get(metadata["name"], metadata["namespace"])
        if now is None or now["metadata"]["uid"] != metadata["uid"]:
            return None
        return bool(now.get("status", {}).get("phase") == "Bound")


def _reachable(volume: Obj, node: NodeInfo) -> bool:
    terms = ((volume["spec"].get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms")
    return not terms or any(term_matches(term, node.name, node.labels) for term in terms)


def _can_be_made(storage_class: Obj, node: NodeInfo) -> bool:
    if storage_class["provisioner"] == NO_PROVISIONER:
        return False
    topologies = storage_class.get("allowedTopologies") or ()
    return not topologies or any(
        all(node.labels.get(one["key"]) in one["values"] for one in each.get("matchLabelExpressions") or ())
        for each in topologies
    )
