"""DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or unreachable, unless it says else."""

from __future__ import annotations

from wherry.api.types import Obj
from wherry.apiserver.admission.request import AdmissionRequest

SECONDS = 300
TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds:
    concerns = frozenset({("", "pods")})

    async def admit(self, request: AdmissionRequest) -> None:
        pod = request.object
        if pod is None or not request.is_for("", "pods", "CREATE", "UPDATE"):
            return
        tolerations = pod["spec"].get("tolerations") or []
        missing = [_toleration(key) for key in TAINTS if not any(_tolerates(each, key) for each in tolerations)]
        if missing:
            pod["spec"]["tolerations"] = [*tolerations, *missing]


def _tolerates(toleration: Obj, key: str) -> bool:
    return (toleration.get("key") or key) == key and (toleration.get("effect") or "NoExecute") == "NoExecute"


def _toleration(key: str) -> Obj:
    return {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}
