"""Which existing volume suits a claim. Pure; what the volume controller and the scheduler must agree about."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.labels import Selector
from wherry.api.quantity import Quantity
from wherry.api.types import Obj

BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
"""Annotation of a claim: the node on which its first consumer will run."""


def find(claim: Obj, volumes: Iterable[Obj]) -> Obj | None:
    """A volume reserved for the claim by name, else the smallest free one that has all the claim asks for."""
    best: tuple[Quantity, str, Obj] | None = None
    for volume in volumes:
        if "deletionTimestamp" in volume["metadata"]:
            continue
        ref = volume["spec"].get("claimRef")
        if ref is not None:
            if names(ref, claim):
                return volume
            continue
        if not suits(claim, volume):
            continue
        candidate = (capacity(volume), volume["metadata"]["name"], volume)
        if best is None or candidate[:2] < best[:2]:
            best = candidate
    return best[2] if best is not None else None


def names(ref: Obj, claim: Obj) -> bool:
    """Whether a claimRef means this claim; one a person wrote has no uid."""
    metadata = claim["metadata"]
    keys = (metadata["namespace"], metadata["name"], metadata["uid"])
    return (ref.get("namespace"), ref.get("name"), ref.get("uid", metadata["uid"])) == keys


def suits(claim: Obj, volume: Obj) -> bool:
    """Class, access modes, mode, labels and size."""
    wanted, offered = claim["spec"], volume["spec"]
    if (wanted.get("storageClassName") or "") != (offered.get("storageClassName") or ""):
        return False
    if not set(wanted.get("accessModes") or ()) <= set(offered.get("accessModes") or ()):
        return False
    if (wanted.get("volumeMode") or "Filesystem") != (offered.get("volumeMode") or "Filesystem"):
        return False
    if volume.get("status", {}).get("phase") in ("Released", "Failed"):
        return False
    selector = wanted.get("selector")
    if selector is not None and not Selector.from_object(selector).matches(volume["metadata"].get("labels") or {}):
        return False
    return capacity(volume) >= requested(claim)


def requested(claim: Obj) -> Quantity:
    resources = claim["spec"].get("resources") or {}
    return Quantity.parse((resources.get("requests") or {}).get("storage", "0"))


def capacity(volume: Obj) -> Quantity:
    return Quantity.parse((volume["spec"].get("capacity") or {}).get("storage", "0"))


def claim_ref(claim: Obj) -> Obj:
    metadata = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    }


def reserved(volume: Obj, claim: Obj) -> Obj:
    """The volume's metadata and spec when it is the claim's."""
    ref = volume["spec"].get("claimRef")
    if ref is not None and ref.get("uid") == claim["metadata"]["uid"]:
        return volume
    metadata = volume["metadata"]
    annotations = dict(metadata.get("annotations") or {})
    if ref is None:
        annotations[BOUND_BY_CONTROLLER] = "yes"
    return {
        **volume,
        "metadata": {**metadata, "annotations": annotations},
        "spec": {**volume["spec"], "claimRef": claim_ref(claim)},
    }
