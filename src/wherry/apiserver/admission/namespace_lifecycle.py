"""NamespaceLifecycle: nothing is created in a namespace that is missing or ending; three namespaces stay forever."""

from __future__ import annotations

from wherry.api.errors import not_found
from wherry.api.resources import NAMESPACES
from wherry.apiserver.admission.request import AdmissionRequest

IMMORTAL = ("default", "kube-system", "kube-public")


class NamespaceLifecycle:
    async def admit(self, request: AdmissionRequest) -> None:
        if request.is_for("", "namespaces", "DELETE") and request.name in IMMORTAL:
            raise request.forbid("this namespace may not be deleted")
        if request.operation != "CREATE" or not request.namespace:
            return
        namespace = request.context.read.get(NAMESPACES, request.namespace)
        if namespace is None:
            raise not_found("namespaces", request.namespace)
        if (namespace.get("status") or {}).get("phase") == "Terminating":
            self._refuse(request)

    def _refuse(self, request: AdmissionRequest) -> None:
        name = request.namespace
        error = request.forbid(f"unable to create new content in namespace {name} because it is being terminated")
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {name} is being terminated",
            "field": "metadata.namespace",
        }
        error.details = {**(error.details or {}), "causes": [cause]}
        raise error
