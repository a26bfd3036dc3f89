"""PersistentVolumeClaimResize: a claim grows only where its class says that volumes can, and only once it is bound."""

from __future__ import annotations

from wherry.api.quantity import Quantity
from wherry.api.resources import STORAGE_CLASSES
from wherry.api.types import Obj
from wherry.apiserver.admission.request import AdmissionRequest

OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


class PersistentVolumeClaimResize:
    concerns = frozenset({("", "persistentvolumeclaims")})

    async def validate(self, request: AdmissionRequest) -> None:
        claim, old = request.object, request.old_object
        if claim is None or old is None or not request.is_for("", "persistentvolumeclaims", "UPDATE"):
            return
        if _size(claim) <= _size(old):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise request.forbid("Only bound persistent volume claims can be expanded")
        annotations = old["metadata"].get("annotations") or {}
        name = annotations.get(OLD_CLASS) or old["spec"].get("storageClassName") or ""
        found = request.context.read.get(STORAGE_CLASSES, name) if name else None
        if found is None or not found.get("allowVolumeExpansion"):
            raise request.forbid(
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support "
                "resize"
            )


def _size(claim: Obj) -> Quantity:
    return Quantity.parse(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage") or "0")
