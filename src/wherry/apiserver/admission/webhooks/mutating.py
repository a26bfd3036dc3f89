"""Mutating webhooks, one after the other: each sees what those before it made of the object.

One that asks for it (reinvocationPolicy IfNeeded) is asked once more when somebody after it changed the object.
"""

from __future__ import annotations

import logging

from wherry.api import json
from wherry.api.errors import StatusError, internal_error
from wherry.api.scheme import Resource
from wherry.apiserver.admission.forms import Form
from wherry.apiserver.admission.matching import is_exempt
from wherry.apiserver.admission.request import AdmissionRequest, World
from wherry.apiserver.admission.rounds import Rounds
from wherry.apiserver.admission.webhooks.calling import CallFailed, ask, failing_closed
from wherry.apiserver.admission.webhooks.figures import INTERNAL, WebhookFigures
from wherry.apiserver.admission.webhooks.index import Hook, Index
from wherry.apiserver.admission.webhooks.review import Verdict, refusal
from wherry.apiserver.drafts import draft
from wherry.apiserver.patch import PatchError, json_patch

log = logging.getLogger(__name__)


class MutatingWebhooks:
    """The plugin."""

    name = "MutatingAdmissionWebhook"

    def __init__(self) -> None:
        self.figures = WebhookFigures(mutating=True)
        self._index = Index("mutatingwebhookconfigurations")

    def asks(self, world: World, resource: Resource, subresource: str, operation: str) -> bool:
        return not is_exempt(resource) and self._index.concerns(world, resource, subresource, operation)

    async def admit(self, request: AdmissionRequest) -> None:
        world = request.world
        if world is None or is_exempt(request.resource):
            return
        hooks = self._index.hooks(world)
        if not hooks:
            return
        rounds = Rounds.of(request, "mutating webhooks")
        for index, hook in enumerate(hooks):
            if rounds.is_turn(request, hook.uid):
                await self._ask(world, hook, request, rounds, index)
        rounds.leave(request)

    async def _ask(self, world: World, hook: Hook, request: AdmissionRequest, rounds: Rounds, index: int) -> None:
        form = hook.criteria.form(request)
        if form is None or not await hook.conditions.hold(request, form):
            return
        key = f"round_{int(request.reinvocation.again)}_index_{index}"
        note = {"configuration": hook.configuration, "webhook": hook.name}
        started = world.clock.monotonic()
        answer = await ask(world, hook, request, form, self.figures)
        if request.origin is not None:
            request.origin.elsewhere += world.clock.monotonic() - started
        if isinstance(answer, CallFailed):
            if not hook.ignores_failures:
                raise failing_closed(hook, answer)
            log.warning("webhook %s failed, going on without it: %s", hook.name, answer)
            request.annotations[f"failed-open.mutation.webhook.admission.k8s.io/{key}"] = hook.name
            return
        settle(request, hook, answer)
        try:
            changed = _apply(request, hook, form, answer)
        except StatusError as error:
            self.figures.rejected(hook.name, request.operation, INTERNAL, error.code)
            raise
        request.annotations[f"mutation.webhook.admission.k8s.io/{key}"] = json.encode(
            {**note, "mutated": changed}
        ).decode()
        rounds.done(request, hook.uid, changed, hook.reinvoked)


def settle(request: AdmissionRequest, hook: Hook, verdict: Verdict) -> None:
    """Pass on warnings and annotations. Raises StatusError when the verdict is no."""
    for text in verdict.warnings:
        request.warn(text)
    for key, value in verdict.annotations.items():
        request.annotations[f"{hook.name}/{key}"] = str(value)
    if not verdict.allowed:
        raise refusal(hook.name, verdict.status)


def _apply(request: AdmissionRequest, hook: Hook, form: Form, verdict: Verdict) -> bool:
    """Make the patch part of the draft; whether that changed anything. Raises StatusError."""
    if not verdict.patch:
        return False
    if request.object is None:
        text = (
            f'admission webhook "{hook.name}" attempted to modify the object, which is not supported for this operation'
        )
        raise internal_error(text)
    before = draft(request.object)
    try:
        form.take(request, draft(json_patch(form.show(request.object), verdict.patch)))
    except (PatchError, ValueError, RecursionError) as error:
        raise internal_error(str(error)) from error
    return bool(before != request.object)
