"""What a ValidatingAdmissionPolicy's expressions get wrong about the kinds they are written for. Pure.

When a policy is written `object` may be anything; here each expression is checked once more for every kind the policy names
without wildcards. Source: "Type checking" of the documents on Validating Admission Policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wherry import cel
from wherry.api.schema import Schema
from wherry.api.scheme import Resource
from wherry.api.types import GVR, Obj
from wherry.apiserver.admission import environments
from wherry.apiserver.admission.policies.typing import type_of

KINDS_MAX = 10
"""Of one policy, as Kubernetes limits it."""
Kinds = Mapping[GVR, tuple[Resource, Schema]]


def warnings(spec: Obj, kinds: Kinds) -> list[Obj]:
    """status.typeChecking.expressionWarnings: fieldRef and warning, in the order of the fields."""
    chosen = list(_kinds(spec, kinds))[:KINDS_MAX]
    if not chosen:
        return []
    params = _of_params(spec, kinds)
    wheres = [(shown, _environment(spec, schema, params)) for shown, schema in chosen]
    found: list[Obj] = []
    for i, validation in enumerate(spec.get("validations") or ()):
        for key in ("expression", "messageExpression"):
            expression = validation.get(key)
            problems = [text for shown, where in wheres if (text := _problem(shown, expression, where))]
            if problems:
                found.append({"fieldRef": f"spec.validations[{i}].{key}", "warning": "\n".join(problems)})
    return found


def _kinds(spec: Obj, kinds: Kinds) -> Iterable[tuple[str, Schema]]:
    seen: set[GVR] = set()
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        for group in rule.get("apiGroups") or ():
            for version in rule.get("apiVersions") or ():
                for plural in rule.get("resources") or ():
                    gvr = GVR(group, version, plural)
                    if gvr in kinds and gvr not in seen:
                        seen.add(gvr)
                        resource, schema = kinds[gvr]
                        yield f"{resource.api_version}, Kind={resource.kind}", schema


def _of_params(spec: Obj, kinds: Kinds) -> Schema | None:
    wanted = spec.get("paramKind")
    if wanted is None:
        return None
    said = (wanted.get("apiVersion"), wanted.get("kind"))
    return next((schema for resource, schema in kinds.values() if (resource.api_version, resource.kind) == said), None)


def _environment(spec: Obj, schema: Schema, params: Schema | None) -> cel.Environment:
    base = environments.environment(params=spec.get("paramKind") is not None, policy=True)
    typed = dict.fromkeys(("object", "oldObject"), type_of(schema, whole=True))
    if params is not None:
        typed["params"] = type_of(params, "Params", whole=True)
    return environments.with_variables(base.extended(typed), spec.get("variables") or ())[0]


def _problem(shown: str, expression: str | None, where: cel.Environment) -> str:
    if not expression:
        return ""
    try:
        cel.compile(expression, where)
    except cel.CompileErrors as error:
        return f"{shown}: {str(error).removeprefix('compilation failed: ')}"
    return ""
