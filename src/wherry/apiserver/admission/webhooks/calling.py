"""One call of one webhook: bytes out, verdict back, every failure in Kubernetes' words.

Not here: what a failure means, which the webhook's failurePolicy says.
"""

from __future__ import annotations

from wherry.api import json
from wherry.api.errors import StatusError, internal_error
from wherry.apiserver.admission.forms import Form
from wherry.apiserver.admission.request import AdmissionRequest, World
from wherry.apiserver.admission.webhooks.figures import CALLING, NO_ERROR, WebhookFigures
from wherry.apiserver.admission.webhooks.index import Hook
from wherry.apiserver.admission.webhooks.review import BadAnswer, Unreadable, Verdict, refusal, review, verdict
from wherry.apiserver.outward import OutwardError, Reply
from wherry.apiserver.registry.object_meta import new_uid

_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
_TEXTS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}
"""What Kubernetes' client says of an answer that is no Status."""


class CallFailed(Exception):
    """No verdict came. `str` is what Kubernetes says, without the webhook's name."""


async def ask(
    world: World, hook: Hook, request: AdmissionRequest, form: Form, figures: WebhookFigures
) -> Verdict | CallFailed:
    """The verdict, or why there is none; `figures` are told of it."""
    started = world.clock.monotonic()
    try:
        answer: Verdict | CallFailed = await _ask(world, hook, request, form, figures.mutating)
    except CallFailed as error:
        answer = error
    took, name, operation = world.clock.monotonic() - started, hook.name, request.operation
    if isinstance(answer, CallFailed):
        figures.asked(name, operation, took, not hook.ignores_failures, 500)
        if hook.ignores_failures:
            figures.failed_open(name)
        else:
            figures.rejected(name, operation, CALLING, 0)
    elif answer.allowed:
        figures.asked(name, operation, took, False, 200)
    else:
        code = refusal(name, answer.status).code
        figures.asked(name, operation, took, True, code)
        figures.rejected(name, operation, NO_ERROR, code)
    return answer


async def _ask(world: World, hook: Hook, request: AdmissionRequest, form: Form, mutating: bool) -> Verdict:
    """Raises CallFailed."""
    uid = new_uid(request.context.rng)
    body = json.encode(review(request, form, uid, hook.review_version))
    try:
        path = f"?timeout={hook.timeout}s"
        reply = await world.outward.request(hook.target, "POST", path, _HEADERS, body, hook.timeout)
    except OutwardError as error:
        raise CallFailed(f"failed to call webhook: {error}") from error
    if not 200 <= reply.status <= 206:
        raise CallFailed(f"failed to call webhook: {_unwanted(reply)}")
    try:
        answer = json.decode(reply.body)
    except ValueError:
        problem = json.syntax_problem(reply.body)
        raise CallFailed(f"failed to call webhook: couldn't get version/kind; json parse error: {problem}") from None
    try:
        return verdict(answer, uid, hook.review_version, mutating)
    except Unreadable as error:
        raise CallFailed(f"failed to call webhook: {error}") from error
    except BadAnswer as error:
        raise CallFailed(f"received invalid webhook response: {error}") from error


def _unwanted(reply: Reply) -> str:
    """An answer that is an error."""
    try:
        answer = json.decode(reply.body)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and answer.get("kind") == "Status" and answer.get("message"):
        return str(answer["message"])
    text = _TEXTS.get(reply.status)
    if text is not None:
        return text
    if reply.status == 403:
        return (
            reply.body.decode(errors="replace").strip() or "the server does not allow access to the requested resource"
        )
    if reply.status >= 500:
        said = json.encode(reply.body.decode(errors="replace").strip() or "unknown").decode()
        return f"an error on the server ({said}) has prevented the request from succeeding"
    return f"the server responded with the status code {reply.status} but did not return more information"


def failing_closed(hook: Hook, error: CallFailed) -> StatusError:
    """What the client hears of a webhook that must be asked and does not answer."""
    return internal_error(f'failed calling webhook "{hook.name}": {error}')
