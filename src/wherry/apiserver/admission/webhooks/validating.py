"""Validating webhooks, all at the same time: none changes anything, the first refusal in their order is the answer."""

from __future__ import annotations

import asyncio
import logging

from wherry.api.errors import StatusError
from wherry.api.scheme import Resource
from wherry.apiserver.admission.forms import Form
from wherry.apiserver.admission.matching import is_exempt
from wherry.apiserver.admission.request import AdmissionRequest, World
from wherry.apiserver.admission.webhooks.calling import CallFailed, ask, failing_closed
from wherry.apiserver.admission.webhooks.figures import WebhookFigures
from wherry.apiserver.admission.webhooks.index import Hook, Index
from wherry.apiserver.admission.webhooks.mutating import settle
from wherry.apiserver.admission.webhooks.review import Verdict

log = logging.getLogger(__name__)


class ValidatingWebhooks:
    """The plugin."""

    name = "ValidatingAdmissionWebhook"

    def __init__(self) -> None:
        self.figures = WebhookFigures(mutating=False)
        self._index = Index("validatingwebhookconfigurations")

    def asks(self, world: World, resource: Resource, subresource: str, operation: str) -> bool:
        return not is_exempt(resource) and self._index.concerns(world, resource, subresource, operation)

    async def validate(self, request: AdmissionRequest) -> None:
        world = request.world
        if world is None or is_exempt(request.resource):
            return
        chosen = await _chosen(self._index.hooks(world), request)
        if not chosen:
            return
        started = world.clock.monotonic()
        verdicts = await asyncio.gather(*(ask(world, hook, request, form, self.figures) for hook, form in chosen))
        if request.origin is not None:
            request.origin.elsewhere += world.clock.monotonic() - started
        refusals: list[StatusError] = []
        for index, ((hook, _), verdict) in enumerate(zip(chosen, verdicts, strict=True)):
            try:
                _settle(request, hook, verdict, index)
            except StatusError as error:
                refusals.append(error)
        if refusals:
            raise refusals[0]


async def _chosen(hooks: tuple[Hook, ...], request: AdmissionRequest) -> list[tuple[Hook, Form]]:
    forms = ((hook, hook.criteria.form(request)) for hook in hooks)
    return [(hook, form) for hook, form in forms if form is not None and await hook.conditions.hold(request, form)]


def _settle(request: AdmissionRequest, hook: Hook, verdict: Verdict | CallFailed, index: int) -> None:
    if isinstance(verdict, Verdict):
        settle(request, hook, verdict)
    elif not hook.ignores_failures:
        raise failing_closed(hook, verdict)
    else:
        log.warning("webhook %s failed, going on without it: %s", hook.name, verdict)
        request.annotations[f"failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}"] = hook.name
