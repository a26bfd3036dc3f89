"""TaintNodesByCondition: a new node takes no pods until the node lifecycle controller has seen it ready."""

from __future__ import annotations

from wherry.apiserver.admission.request import AdmissionRequest

NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodesByCondition:
    concerns = frozenset({("", "nodes")})

    async def admit(self, request: AdmissionRequest) -> None:
        if request.object is None or not request.is_for("", "nodes", "CREATE"):
            return
        spec = request.object.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(
            taint.get("key") == NOT_READY["key"] and taint.get("effect") == NOT_READY["effect"] for taint in taints
        ):
            spec["taints"] = [*taints, dict(NOT_READY)]
