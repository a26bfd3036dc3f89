"""The values CEL expressions of admission see for one request. Shared objects are handed over as they are: CEL reads only."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from wherry.api.resources import NAMESPACES
from wherry.api.types import Obj
from wherry.apiserver.admission.forms import Form
from wherry.apiserver.admission.matching import is_namespace
from wherry.apiserver.admission.request import AdmissionRequest, World
from wherry.apiserver.admission.webhooks.review import asked
from wherry.apiserver.auth.attributes import Attributes
from wherry.apiserver.auth.user import User, service_account_user
from wherry.apiserver.filters.authorization import requirements
from wherry.apiserver.patience import on_loop
from wherry.cel import Value
from wherry.cel.libraries.authorizer import Authorizer, Decision, Question, ResourceCheck

_OBJECTS = ("object", "oldObject")


def variables(request: AdmissionRequest, form: Form) -> dict[str, Value]:
    """By the names of `environments.environment`, without params."""
    said = asked(request, form)
    shown = {key: said.pop(key) for key in _OBJECTS}
    found: dict[str, Value] = {**shown, "request": said, "namespaceObject": namespace_object(request)}
    if request.world is not None:
        authorizer = found["authorizer"] = Authorizer(
            Authority(request.world, request.user, asyncio.get_running_loop())
        )
        resource = request.served or request.resource
        found["authorizer.requestResource"] = ResourceCheck(
            authorizer,
            Question(
                "", group=resource.group, resource=resource.resource, subresource=request.subresource,
                namespace=request.namespace, name=request.name,
            ),
        )  # fmt: skip
    return found


def namespace_object(request: AdmissionRequest) -> Obj | None:
    """The Namespace the object is in; a cluster-wide object has none."""
    if is_namespace(request) or not request.namespace:
        return None
    found = request.context.read.get(NAMESPACES, request.namespace)
    if found is None:
        return None
    metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
    return {**found, "metadata": metadata}


class Authority(Struct, frozen=True):
    """The server's own authorizer, asked about the request's user or a service account."""

    world: World
    user: User
    loop: asyncio.AbstractEventLoop
    """To which the authorizer belongs: an expression may be run in a thread."""

    def decide(self, question: Question) -> Decision:
        user = self.user
        if question.service_account is not None:
            user = service_account_user(*question.service_account)
        attributes = Attributes(
            question.verb, question.group, question.resource, question.subresource, question.namespace, question.name,
            question.path, requirements(question.field_selector) if question.field_selector else (),
        )  # fmt: skip
        decision = on_loop(self.loop, lambda: self.world.authorizer.decide(user, attributes))
        return Decision(decision.allowed, decision.reason)
