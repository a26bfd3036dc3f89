"""persistentVolumeClaim volumes: from the claim to the directory its volume names."""

from __future__ import annotations

from pathlib import Path

from wherry.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from wherry.api.types import Obj
from wherry.kubelet.failures import MissingObject
from wherry.kubelet.objects import Objects
from wherry.kubelet.volumes import host_path

_COMMON = {
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
}


async def directory_of(objects: Objects, namespace: str, claim_name: str) -> Path:
    """The directory of a bound claim. Raises ValueError with kubelet's text."""
    what = f"error processing PVC {namespace}/{claim_name}"
    try:
        claim = await objects.get(PERSISTENT_VOLUME_CLAIMS, namespace, claim_name)
    except MissingObject as error:
        raise ValueError(str(error)) from error
    volume_name = claim["spec"].get("volumeName")
    if not volume_name or (claim.get("status") or {}).get("phase") != "Bound":
        raise ValueError(f"{what}: PVC is not bound")
    try:
        volume = await objects.get(PERSISTENT_VOLUMES, "", volume_name)
    except MissingObject as error:
        raise ValueError(f"{what}: {error}") from error
    return _source(volume)


def _source(volume: Obj) -> Path:
    spec = volume["spec"]
    if spec.get("volumeMode") == "Block":
        raise ValueError("volumeMode Block is not supported")
    if "hostPath" in spec:
        return host_path.prepare(spec["hostPath"]["path"], spec["hostPath"].get("type") or "")
    if "local" in spec:
        path = Path(spec["local"]["path"])
        if not path.exists():
            raise ValueError(f'path "{path}" does not exist')
        return path
    kinds = sorted(key for key in spec if key not in _COMMON)
    raise ValueError(f'volume plugin "{", ".join(kinds) or "none"}" of persistent volume is not supported here')
