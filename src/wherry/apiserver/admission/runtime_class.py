"""RuntimeClass: the class a pod names must exist and brings its overhead and scheduling along."""

from __future__ import annotations

from wherry.api.types import GVR, Obj
from wherry.apiserver.admission.request import AdmissionRequest
from wherry.apiserver.registry.pod_defaults import canonical_list

RUNTIME_CLASSES = GVR("node.k8s.io", "v1", "runtimeclasses")


class RuntimeClass:
    concerns = frozenset({("", "pods")})

    async def admit(self, request: AdmissionRequest) -> None:
        pod = request.object
        if pod is None or not request.is_for("", "pods", "CREATE"):
            return
        spec = pod["spec"]
        name = spec.get("runtimeClassName")
        found = request.context.read.get(RUNTIME_CLASSES, name) if name else None
        if name and found is None:
            raise request.forbid(f'pod rejected: RuntimeClass "{name}" not found')
        self._overhead(request, spec, ((found or {}).get("overhead") or {}).get("podFixed"))
        scheduling = (found or {}).get("scheduling") or {}
        self._node_selector(request, spec, scheduling.get("nodeSelector") or {})
        added = [
            dict(each) for each in scheduling.get("tolerations") or [] if each not in (spec.get("tolerations") or [])
        ]
        if added:
            spec["tolerations"] = [*(spec.get("tolerations") or []), *added]

    def _overhead(self, request: AdmissionRequest, spec: Obj, defined: Obj | None) -> None:
        given = spec.get("overhead")
        if given and not defined:
            raise request.forbid("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        if not defined:
            return
        fixed = canonical_list(defined)
        if given and canonical_list(given) != fixed:
            raise request.forbid("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        spec["overhead"] = fixed

    def _node_selector(self, request: AdmissionRequest, spec: Obj, wanted: Obj) -> None:
        chosen = spec.get("nodeSelector") or {}
        for key, value in wanted.items():
            if chosen.get(key, value) != value:
                raise request.forbid(
                    f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                    f"pod.spec.nodeSelector[{key}] = {chosen[key]}"
                )
        if wanted:
            spec["nodeSelector"] = {**chosen, **wanted}
