"""ValidatingAdmissionPolicies: expressions that must be true of what is about to be stored.

Every policy is heard, so that all warnings and audit annotations come out; the first denial is the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from msgspec import Struct

from wherry.api import json
from wherry.api.errors import StatusError
from wherry.api.types import Obj
from wherry.apiserver.admission.conditions import ConditionsFailed
from wherry.apiserver.admission.evaluation import ExpressionFailed, Variables, evaluate
from wherry.apiserver.admission.forms import Form
from wherry.apiserver.admission.policies.index import Binding, Policy
from wherry.apiserver.admission.policies.params import Misconfigured, find
from wherry.apiserver.admission.request import AdmissionRequest, World
from wherry.apiserver.admission.variables import variables
from wherry.apiserver.patience import judged
from wherry.cel import Budget, Value

COST_MAX = 10_000_000
"""Of all expressions of one policy for one request, as Kubernetes' runtime budget."""
MESSAGE_BYTES_MAX, ANNOTATION_BYTES_MAX = 5 * 1024, 10 * 1024
CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413, "Invalid": 422}
_AUDIT_KEY = "validation.policy.admission.k8s.io/validation_failure"


class Failure(Struct, frozen=True):
    """One expression that was not true, or had no value; `index` of the validation, None when it was another."""

    message: str
    reason: str = ""
    index: int | None = None
    always_denies: bool = False
    """Whatever the binding's actions are: the policy could not do its work."""


async def enforce(policies: Iterable[Policy], world: World, request: AdmissionRequest) -> None:
    """Raises StatusError for the first denial."""
    denials: list[StatusError] = []
    for policy in policies:
        form = policy.form(request)
        if form is None:
            continue
        for binding in policy.bindings:
            if binding.concerns(request):
                for failure in await _failures(policy, binding, form, world, request):
                    _act(failure, policy, binding, request, denials)
    if denials:
        raise denials[0]


async def _failures(
    policy: Policy, binding: Binding, form: Form, world: World, request: AdmissionRequest
) -> list[Failure]:
    try:
        params = find(world, request, policy.spec.get("paramKind"), binding.param_ref)
    except Misconfigured as error:
        if policy.ignores_failures:
            return []
        return [Failure(f"failed to configure binding: {error}", always_denies=True)]
    shared, found = variables(request, form), []
    for param in params:
        values = {**shared, "params": param}
        failures, annotations = await judged(partial(_judged, policy, values))
        for key, text in annotations:
            _annotate(request, key, text)
        found += failures
    return found


def _judged(policy: Policy, values: Mapping[str, Value]) -> tuple[list[Failure], list[tuple[str, str]]]:
    """What one policy has against it, and its audit annotations. May be done twice."""
    annotations: list[tuple[str, str]] = []
    return list(_judge(policy, dict(values), annotations)), annotations


def _judge(policy: Policy, values: dict[str, Value], annotations: list[tuple[str, str]]) -> Iterable[Failure]:
    """One policy with one object of params."""
    budget = Budget(COST_MAX)
    values["variables"] = Variables(policy.variables, values, budget)
    try:
        if not policy.conditions.decide(policy.where, values):
            return
    except ConditionsFailed as error:
        yield Failure(str(error))
        return
    for index, validation in enumerate(policy.spec.get("validations") or ()):
        try:
            held = evaluate(validation["expression"], policy.where, values, budget)
        except ExpressionFailed as error:
            if not policy.ignores_failures:
                yield Failure(str(error), "", index)
            continue
        if held is not True:
            message = _message(policy, validation, values, budget)
            yield Failure(message, validation.get("reason") or "Invalid", index)
    yield from _annotations(policy, values, budget, annotations)


def _message(policy: Policy, validation: Obj, values: Mapping[str, Value], budget: Budget) -> str:
    """messageExpression if it gives one line of text, else message, else the expression itself."""
    spoken = validation.get("messageExpression")
    if spoken:
        try:
            text = evaluate(spoken, policy.where, values, budget)
        except ExpressionFailed:
            text = None  # as in Kubernetes, the plain message will do
        if isinstance(text, str) and text.strip() and "\n" not in text.strip() and len(text) <= MESSAGE_BYTES_MAX:
            return text.strip()
    message: str = (validation.get("message") or "").strip()
    return message or f"failed expression: {validation['expression'].strip()}"


def _annotations(
    policy: Policy, values: Mapping[str, Value], budget: Budget, found: list[tuple[str, str]]
) -> Iterable[Failure]:
    """spec.auditAnnotations, for the audit log: (key, text)."""
    for annotation in policy.spec.get("auditAnnotations") or ():
        try:
            value = evaluate(annotation["valueExpression"], policy.where, values, budget)
        except ExpressionFailed as error:
            if not policy.ignores_failures:
                yield Failure(str(error), always_denies=True)
            continue
        if isinstance(value, str) and value:
            found.append((f"{policy.name}/{annotation['key']}", value[:ANNOTATION_BYTES_MAX]))


def _annotate(request: AdmissionRequest, key: str, text: str) -> None:
    """Values of several bindings are joined."""
    before = request.annotations.get(key)
    known = before.split(", ") if before else []
    request.annotations[key] = before if before and text in known else ", ".join([*known, text])


def _act(
    failure: Failure, policy: Policy, binding: Binding, request: AdmissionRequest, denials: list[StatusError]
) -> None:
    """What the binding wants done about a failure."""
    where = f"ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}'"
    if failure.always_denies or "Deny" in binding.actions:
        denials.append(denial(request, f"{where} denied request: {failure.message}", failure.reason or "Invalid"))
    if failure.always_denies:
        return
    if "Warn" in binding.actions:
        request.warn(f"Validation failed for {where}: {failure.message}")
    if "Audit" in binding.actions:
        _audit(failure, policy, binding, request)


def denial(request: AdmissionRequest, message: str, reason: str) -> StatusError:
    """Kubernetes' Forbidden with another reason and code, and the message as a cause."""
    error = request.forbid(message)
    error.reason, error.code = reason, CODES.get(reason, 422)
    error.details = {**(error.details or {}), "causes": [{"message": message}]}
    return error


def _audit(failure: Failure, policy: Policy, binding: Binding, request: AdmissionRequest) -> None:
    entry: Obj = {
        "message": failure.message, "policy": policy.name, "binding": binding.name,
        "expressionIndex": failure.index or 0, "validationActions": list(binding.actions),
    }  # fmt: skip
    before = json.decode(request.annotations.get(_AUDIT_KEY, "[]").encode())
    request.annotations[_AUDIT_KEY] = json.encode([*before, entry]).decode()
