"""The values CEL expressions of admission see for one request. Shared objects are handed over as they are: CEL reads only."""

from __future__ import annotations

from wherry.api.resources import NAMESPACES
from wherry.api.types import Obj
from wherry.apiserver.admission.forms import Form
from wherry.apiserver.admission.matching import is_namespace
from wherry.apiserver.admission.request import AdmissionRequest
from wherry.apiserver.admission.webhooks.review import asked
from wherry.cel import Value

_OBJECTS = ("object", "oldObject")


def variables(request: AdmissionRequest, form: Form) -> dict[str, Value]:
    """By the names of `environments.environment`, without params."""
    said = asked(request, form)
    shown = {key: said.pop(key) for key in _OBJECTS}
    return {**shown, "request": said, "namespaceObject": namespace_object(request)}


def namespace_object(request: AdmissionRequest) -> Obj | None:
    """The Namespace the object is in; a cluster-wide object has none."""
    if is_namespace(request) or not request.namespace:
        return None
    found = request.context.read.get(NAMESPACES, request.namespace)
    if found is None:
        return None
    metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
    return {**found, "metadata": metadata}
