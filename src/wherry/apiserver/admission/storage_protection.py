"""StorageObjectInUseProtection: volumes and claims stay until nothing uses them; a controller takes the finalizer off."""

from __future__ import annotations

from wherry.apiserver.admission.request import AdmissionRequest

FINALIZERS = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
}


class StorageObjectInUseProtection:
    concerns = frozenset(("", resource) for resource in FINALIZERS)

    async def admit(self, request: AdmissionRequest) -> None:
        if request.object is None:
            return
        for resource, finalizer in FINALIZERS.items():
            if request.is_for("", resource, "CREATE"):
                metadata = request.object["metadata"]
                finalizers = metadata.get("finalizers") or []
                if finalizer not in finalizers:
                    metadata["finalizers"] = [*finalizers, finalizer]
