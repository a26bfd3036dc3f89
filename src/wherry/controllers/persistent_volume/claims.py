"""What a claim that is not bound yet needs next. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from wherry.api.types import Obj
from wherry.reconcile import volume_matching as matching
from wherry.reconcile.volume_matching import BOUND_BY_CONTROLLER, SELECTED_NODE, claim_ref

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
STORAGE_PROVISIONERS = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")
"""Who is to make the volume: external provisioners look for their name in one of the two."""

_NONE_SET = "no persistent volumes available for this claim and no storage class is set"
_WAITING = "waiting for first consumer to be created before binding"


class Step(Struct, frozen=True):
    """Bind to `volume`, or provision with `storage_class`, or wait and say why (event type, reason, message): with a
    `storage_class`, for its own provisioner."""

    volume: Obj | None = None
    storage_class: Obj | None = None
    say: tuple[str, str, str] | None = None


def next_step(
    claim: Obj,
    volumes: Iterable[Obj],
    find_class: Callable[[str], Obj | None],
    provisioner: str,
    *,
    consumers: Sequence[str],
) -> Step:
    """`consumers`: names of pods that use the claim. One that waits for its first consumer is nobody's until the
    scheduler has reserved a volume for it or said on which node it wants one."""
    name = claim["spec"].get("storageClassName")
    storage_class = find_class(name) if name else None
    waits = storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
    volume = matching.find(claim, volumes)
    reserved = volume is not None and volume["spec"].get("claimRef") is not None
    if waits and not reserved:
        if SELECTED_NODE not in (claim["metadata"].get("annotations") or {}):
            return _waits_for(consumers)
        volume = None
    if volume is not None:
        return Step(volume=volume)
    if not name:
        return Step(say=("Normal", "FailedBinding", _NONE_SET))
    if storage_class is None:
        return _fails(f'storageclass.storage.k8s.io "{name}" not found')
    if storage_class["provisioner"] != provisioner:
        text = _external(storage_class["provisioner"])
        return Step(storage_class=storage_class, say=("Normal", "ExternalProvisioning", text))
    return _provision(claim, storage_class)


def _waits_for(consumers: Sequence[str]) -> Step:
    if not consumers:
        return Step(say=("Normal", "WaitForFirstConsumer", _WAITING))
    pods = f"pod {consumers[0]}" if len(consumers) == 1 else f"pods {','.join(consumers)}"
    return Step(say=("Normal", "WaitForPodScheduled", f"waiting for {pods} to be scheduled"))


def _provision(claim: Obj, storage_class: Obj) -> Step:
    spec = claim["spec"]
    if spec.get("selector"):
        return _fails("claim.spec.selector is not supported for dynamic provisioning")
    if spec.get("dataSource") or spec.get("dataSourceRef"):
        return _fails("claim.spec.dataSource is not supported by this provisioner")
    if spec.get("volumeMode") == "Block":
        return _fails("block volumes are not supported by this provisioner")
    return Step(storage_class=storage_class)


def _fails(why: str) -> Step:
    return Step(say=("Warning", "ProvisioningFailed", why))


def _external(provisioner: str) -> str:
    return (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
        "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
        "correctly registered."
    )


def named_provisioner(claim: Obj, provisioner: str) -> Obj:
    """The claim with its provisioner's name in it; itself if it has that already."""
    before = claim["metadata"].get("annotations") or {}
    if all(before.get(key) == provisioner for key in STORAGE_PROVISIONERS):
        return claim
    annotations = {**before, **dict.fromkeys(STORAGE_PROVISIONERS, provisioner)}
    return {**claim, "metadata": {**claim["metadata"], "annotations": annotations}}


def volume_for(claim: Obj, storage_class: Obj, path: str, provisioner: str) -> Obj:
    """The volume made for the claim: a directory of this machine, bound from birth."""
    spec: Obj = {
        "accessModes": claim["spec"]["accessModes"],
        "capacity": {"storage": str(matching.requested(claim))},
        "claimRef": claim_ref(claim),
        "hostPath": {"path": path, "type": "DirectoryOrCreate"},
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
        "storageClassName": storage_class["metadata"]["name"],
        "volumeMode": "Filesystem",
    }
    if storage_class.get("mountOptions"):
        spec["mountOptions"] = storage_class["mountOptions"]
    metadata = {"name": volume_name(claim), "annotations": {PROVISIONED_BY: provisioner}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}


def volume_name(claim: Obj) -> str:
    """The same for every try, so that a crash between two steps leaves nothing behind."""
    return f"pvc-{claim['metadata']['uid']}"


def bound_claim(claim: Obj, volume: Obj) -> Obj:
    """The claim's metadata and spec when it is bound to the volume."""
    metadata = claim["metadata"]
    annotations = dict(metadata.get("annotations") or {})
    if not claim["spec"].get("volumeName"):
        annotations[BOUND_BY_CONTROLLER] = "yes"
    annotations[BIND_COMPLETED] = "yes"
    return {
        **claim,
        "metadata": {**metadata, "annotations": annotations},
        "spec": {**claim["spec"], "volumeName": volume["metadata"]["name"]},
    }


def bound_status(claim: Obj, volume: Obj) -> Obj:
    """What a bound claim says it got."""
    status = {key: value for key, value in claim.get("status", {}).items() if key != "phase"}
    return {
        **status,
        "phase": "Bound",
        "accessModes": volume["spec"]["accessModes"],
        "capacity": volume["spec"]["capacity"],
    }
