"""DefaultStorageClass: a claim that names no class gets the cluster's default one. An empty name is a choice."""

from __future__ import annotations

from wherry.api.resources import STORAGE_CLASSES
from wherry.apiserver.admission.request import AdmissionRequest

IS_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
OLD_CHOICE = "volume.beta.kubernetes.io/storage-class"


class DefaultStorageClass:
    concerns = frozenset({("", "persistentvolumeclaims")})

    async def admit(self, request: AdmissionRequest) -> None:
        claim = request.object
        if claim is None or not request.is_for("", "persistentvolumeclaims", "CREATE"):
            return
        annotations = claim["metadata"].get("annotations") or {}
        if claim["spec"].get("storageClassName") is not None or OLD_CHOICE in annotations:
            return
        defaults = [
            each["metadata"]
            for each in request.context.read.list(STORAGE_CLASSES)
            if any((each["metadata"].get("annotations") or {}).get(key) == "true" for key in IS_DEFAULT)
        ]
        if defaults:
            # The newest; of two equally new ones the first by name.
            defaults.sort(key=lambda metadata: metadata["name"])
            newest = max(defaults, key=lambda metadata: metadata.get("creationTimestamp") or "")
            claim["spec"]["storageClassName"] = newest["name"]
