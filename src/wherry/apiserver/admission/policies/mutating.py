"""MutatingAdmissionPolicies: expressions that say what is to change, as JSON patches or as what server-side apply would merge.

One mutation after the other, each on what those before it left. A policy that wants it (reinvocationPolicy IfNeeded) runs
once more when somebody after it changed the object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from wherry.api.errors import StatusError
from wherry.api.types import Obj
from wherry.apiserver.admission.conditions import ConditionsFailed
from wherry.apiserver.admission.evaluation import ExpressionFailed, Variables, evaluate
from wherry.apiserver.admission.forms import Form
from wherry.apiserver.admission.policies.index import Binding, Policy
from wherry.apiserver.admission.policies.merging import NotMergeable, merged
from wherry.apiserver.admission.policies.params import Misconfigured, find
from wherry.apiserver.admission.policies.validating import COST_MAX
from wherry.apiserver.admission.request import AdmissionRequest, World
from wherry.apiserver.admission.rounds import Rounds
from wherry.apiserver.admission.variables import variables
from wherry.apiserver.drafts import draft
from wherry.apiserver.patch import PatchError, json_patch
from wherry.apiserver.patience import judged
from wherry.cel import Budget, CelError, Struct, Value
from wherry.cel.libraries.patches import plain


class MutationFailed(Exception):
    """What went wrong, in words."""


async def enforce(policies: Iterable[Policy], world: World, request: AdmissionRequest) -> None:
    """Raises StatusError (403) when a policy fails that must not."""
    if request.object is None:
        return
    rounds = Rounds.of(request, "mutating policies")
    for policy in policies:
        form = policy.form(request)
        if form is None:
            continue
        for binding in policy.bindings:
            if binding.concerns(request):
                await _run(policy, binding, form, world, request, rounds)
    rounds.leave(request)


async def _run(
    policy: Policy, binding: Binding, form: Form, world: World, request: AdmissionRequest, rounds: Rounds
) -> None:
    try:
        params = find(world, request, policy.spec.get("paramKind"), binding.param_ref)
    except Misconfigured as error:
        _fail(policy, binding, request, f"failed to configure binding: {error}")
        return
    wants_more = policy.spec.get("reinvocationPolicy") == "IfNeeded"
    for index, param in enumerate(params):
        uid = f"{policy.name}/{binding.name}/{index}"
        if not rounds.is_turn(request, uid):
            continue
        before = draft(request.object)
        try:
            await _mutate(policy, form, world, request, param)
        except MutationFailed as error:
            request.object = _restored(request, before)
            _fail(policy, binding, request, str(error))
        rounds.done(request, uid, before != request.object, wants_more)


def _restored(request: AdmissionRequest, before: Obj) -> Obj:
    """The draft as it was: a policy that fails half-way leaves nothing behind."""
    assert request.object is not None
    request.object.clear()
    request.object.update(before)
    return request.object


def _fail(policy: Policy, binding: Binding, request: AdmissionRequest, why: str) -> None:
    if not policy.ignores_failures:
        raise request.forbid(f"policy '{policy.name}' with binding '{binding.name}' denied request: {why}")


async def _mutate(policy: Policy, form: Form, world: World, request: AdmissionRequest, param: Obj | None) -> None:
    """All mutations of one policy with one object of params. Raises MutationFailed."""
    budget = Budget(COST_MAX)
    values = {**variables(request, form), "params": param}
    try:
        if not await judged(partial(_concerned, policy, values)):
            return
    except ConditionsFailed as error:
        raise MutationFailed(str(error)) from error
    for mutation in policy.spec.get("mutations") or ():
        apply = mutation.get("patchType") != "JSONPatch"
        expression = mutation["applyConfiguration" if apply else "jsonPatch"]["expression"]
        values = {**variables(request, form), "params": param}  # which see the object as it is now
        try:
            value, budget = await judged(partial(_evaluated, policy, expression, values, budget.remaining))
            form.take(request, draft(_changed(form, world, request, apply, value)))
        except StatusError as error:
            raise MutationFailed(error.message) from error
        except (ExpressionFailed, CelError, NotMergeable, PatchError, ValueError, RecursionError) as error:
            raise MutationFailed(str(error)) from error


def _concerned(policy: Policy, values: Mapping[str, Value]) -> bool:
    budget = Budget(COST_MAX)
    return policy.conditions.decide(policy.where, {**values, "variables": Variables(policy.variables, values, budget)})


def _evaluated(policy: Policy, expression: str, values: Mapping[str, Value], remaining: int) -> tuple[Value, Budget]:
    """The value, and what is left of the budget. May be done twice."""
    budget = Budget(remaining)
    whole = {**values, "variables": Variables(policy.variables, values, budget)}
    return evaluate(expression, policy.where, whole, budget), budget


def _changed(form: Form, world: World, request: AdmissionRequest, apply: bool, value: Any) -> Any:
    assert request.object is not None
    shown = form.show(request.object)
    if apply:
        return merged(shown, plain(value), form, world)
    return json_patch(shown, [_json(each) for each in value])


def _json(value: Value) -> Any:
    """JSON of an operation: its value may be built of any `Object...` type."""
    if isinstance(value, Struct):
        if value.type_name == "JSONPatch":
            return {name: _json(each) for name, each in value.fields.items()}
        return plain(value, value.type_name)
    if isinstance(value, list):
        return [_json(each) for each in value]
    if isinstance(value, dict):
        return {key: _json(each) for key, each in value.items()}
    return plain(value)
