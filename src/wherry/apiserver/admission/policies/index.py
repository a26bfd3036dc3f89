"""Policies with their bindings, parsed and compiled, in order of their names. Rebuilt when one of them changed, and only then."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from wherry.api.types import Obj
from wherry.apiserver.admission import environments
from wherry.apiserver.admission.conditions import Conditions
from wherry.apiserver.admission.forms import Form
from wherry.apiserver.admission.matching import Criteria
from wherry.apiserver.admission.request import AdmissionRequest
from wherry.cel import CompileErrors, Environment, Program

POLICIES_KEPT = 512
"""Sets of variables kept compiled; few systems have as many policies."""


class Binding(Struct, frozen=True):
    """`criteria` None: wherever the policy applies. `actions`: of Deny, Warn, Audit."""

    name: str
    criteria: Criteria | None
    param_ref: Obj | None
    actions: tuple[str, ...]

    def concerns(self, request: AdmissionRequest) -> bool:
        return self.criteria is None or self.criteria.form(request) is not None


class Policy(Struct, frozen=True):
    """`where` and `variables`: the environment of its expressions, and the programs of spec.variables."""

    name: str
    spec: Obj
    criteria: Criteria
    conditions: Conditions
    where: Environment
    variables: Mapping[str, Program | CompileErrors]
    bindings: tuple[Binding, ...]

    @property
    def ignores_failures(self) -> bool:
        return self.spec.get("failurePolicy") == "Ignore"

    def form(self, request: AdmissionRequest) -> Form | None:
        return self.criteria.form(request)


def policies(stored: list[Obj], bindings: list[Obj]) -> tuple[Policy, ...]:
    """Those somebody bound; the others do nothing."""
    bound: dict[str, list[Binding]] = {}
    for each in bindings:
        bound.setdefault(each["spec"].get("policyName") or "", []).append(_binding(each))
    return tuple(
        _policy(each, tuple(bound[each["metadata"]["name"]])) for each in stored if each["metadata"]["name"] in bound
    )


def _policy(obj: Obj, bindings: tuple[Binding, ...]) -> Policy:
    spec = obj["spec"]
    declared = tuple((each.get("name") or "", each.get("expression") or "") for each in spec.get("variables") or ())
    where, variables = _environment(spec.get("paramKind") is not None, declared)
    criteria = Criteria.of(spec.get("matchConstraints") or {}, rules="resourceRules")
    return Policy(obj["metadata"]["name"], spec, criteria, Conditions.of(spec), where, variables, bindings)


@lru_cache(maxsize=POLICIES_KEPT)
def _environment(
    params: bool, declared: tuple[tuple[str, str], ...]
) -> tuple[Environment, Mapping[str, Program | CompileErrors]]:
    """Compiled once for each set of variables: a change of one policy is no reason to compile those of all others."""
    base = environments.environment(params=params, policy=True)
    return environments.with_variables(base, [{"name": name, "expression": text} for name, text in declared])


def _binding(obj: Obj) -> Binding:
    spec = obj["spec"]
    resources = spec.get("matchResources")
    criteria = Criteria.of(resources, rules="resourceRules") if resources is not None else None
    return Binding(obj["metadata"]["name"], criteria, spec.get("paramRef"), tuple(spec.get("validationActions") or ()))
