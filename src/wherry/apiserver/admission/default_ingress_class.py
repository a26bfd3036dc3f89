"""DefaultIngressClass: an Ingress that names no class gets the cluster's default one, the newest if there are several."""

from __future__ import annotations

from wherry.api.types import GVR
from wherry.apiserver.admission.request import AdmissionRequest

INGRESS_CLASSES = GVR("networking.k8s.io", "v1", "ingressclasses")
IS_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
OLD_CHOICE = "kubernetes.io/ingress.class"


class DefaultIngressClass:
    concerns = frozenset({("networking.k8s.io", "ingresses")})

    async def admit(self, request: AdmissionRequest) -> None:
        ingress = request.object
        if ingress is None or not request.is_for("networking.k8s.io", "ingresses", "CREATE"):
            return
        annotations = ingress["metadata"].get("annotations") or {}
        spec = ingress.setdefault("spec", {})
        if spec.get("ingressClassName") is not None or OLD_CHOICE in annotations:
            return
        defaults = [
            each["metadata"]
            for each in request.context.read.list(INGRESS_CLASSES)
            if (each["metadata"].get("annotations") or {}).get(IS_DEFAULT) == "true"
        ]
        if defaults:
            defaults.sort(key=lambda metadata: metadata["name"])
            newest = max(defaults, key=lambda metadata: metadata.get("creationTimestamp") or "")
            spec["ingressClassName"] = newest["name"]
