"""What policies and their bindings may say: the rules ValidatingAdmissionPolicy and MutatingAdmissionPolicy share.

Expressions are compiled in the environment they will run in, so that a mistake is found when it is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import admission_rules as rules
from wherry.apiserver.registry.validation import expressions, selectors
from wherry.apiserver.registry.validation import field as f

if TYPE_CHECKING:
    from wherry.cel import Environment

NOT_FOUND_ACTIONS = ("Allow", "Deny")
_EXCLUSIVE = "name and selector are mutually exclusive"
UNSPECIFIED = "expression is not specified"


def environment_of(spec: Obj) -> Environment:
    """Where the policy's expressions live: with params if it has a kind of them, with its variables."""
    from wherry.apiserver.admission import environments  # with CEL, only when there is a policy

    base = environments.environment(params=spec.get("paramKind") is not None, policy=True)
    return environments.with_variables(base, f.as_list(spec.get("variables")))[0]


def param_kind(kind: Obj | None, path: str) -> list[Cause]:
    """apiVersion and kind of the objects that parametrise a policy; None is fine."""
    if kind is None:
        return []
    causes: list[Cause] = []
    text, at = kind.get("apiVersion") or "", f"{path}.apiVersion"
    group, _, version = text.rpartition("/")
    if not text:
        causes.append(f.required(at))
    elif text.count("/") > 1:
        causes.append(f.invalid(at, text, f"unexpected GroupVersion string: {text}"))
    else:
        if group:
            causes += _joined(at, group, names.dns1123_subdomain(group))
        if not version:
            causes.append(f.invalid(at, text, "version must be specified"))
        else:
            causes += _joined(at, version, names.dns1035_label(version))
    name, at = kind.get("kind") or "", f"{path}.kind"
    if not name:
        return [*causes, f.required(at)]
    problems = names.dns1035_label(name.lower())
    if problems:
        text = f"may have mixed case, but should otherwise match: {','.join(problems)}"
        causes.append(f.invalid(at, name, text))
    return causes


def _joined(path: str, value: str, problems: list[str]) -> list[Cause]:
    return [f.invalid(path, value, ",".join(problems))] if problems else []


def match_constraints(constraints: Obj | None, path: str) -> list[Cause]:
    """Needed, with at least one rule."""
    if constraints is None:
        return [f.required(path)]
    causes = match_resources(constraints, path)
    return causes if constraints.get("resourceRules") else [*causes, f.required(f"{path}.resourceRules")]


def match_resources(resources: Obj | None, path: str) -> list[Cause]:
    if resources is None:
        return []
    causes = rules.matching(resources, path)
    for key in ("resourceRules", "excludeResourceRules"):
        for i, rule in enumerate(f.as_list(resources.get(key))):
            at = f"{path}.{key}[{i}]"
            causes += rules.rule_with_operations(rule, at)
            causes += _resource_names(f.as_list(rule.get("resourceNames")), f"{at}.resourceNames")
    return causes


def _resource_names(wanted: list[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for i, name in enumerate(wanted):
        causes += f.each_invalid(f"{path}[{i}]", name, names.path_segment(name))
        if name in wanted[:i]:
            causes.append(f.duplicate(f"{path}[{i}]", name))
    return causes


def variables(spec: Obj, path: str) -> list[Cause]:
    """Names are identifiers; each expression may use the variables before it."""
    from wherry.apiserver.admission import environments

    where = environments.environment(params=spec.get("paramKind") is not None, policy=True)
    declared = f.as_list(spec.get("variables"))
    causes: list[Cause] = []
    for i, variable in enumerate(declared):
        at, name = f"{path}[{i}]", (variable.get("name") or "").strip()
        if not name:
            causes.append(f.required(f"{at}.name", "name is not specified"))
        elif names.c_identifier(name):
            causes.append(f.invalid(f"{at}.name", name, "name is not a valid CEL identifier"))
        inner, _ = environments.with_variables(where, declared[:i])
        causes += needed(variable.get("expression"), f"{at}.expression", inner)
    return causes


def needed(
    expression: str | None, path: str, where: Environment, *results: str, missing: str = UNSPECIFIED
) -> list[Cause]:
    """An expression that must be there and give one of the types in `results`."""
    if not (expression or "").strip():
        return [f.required(path, missing)]
    return expressions.compiled(expression or "", path, where, *results)


def match_conditions(spec: Obj, path: str) -> list[Cause]:
    """They see params and variables."""
    where = environment_of(spec)
    return rules.match_conditions(
        f.as_list(spec.get("matchConditions")), path, lambda text, at: expressions.compiled(text, at, where, "bool")
    )


def policy_name(name: str, path: str) -> list[Cause]:
    return f.each_invalid(path, name, names.dns1123_subdomain(name)) if name else [f.required(path)]


def param_ref(ref: Obj | None, path: str) -> list[Cause]:
    """By name or by selector, and what to do when there is none; None is fine."""
    if ref is None:
        return []
    name, selector = ref.get("name") or "", ref.get("selector")
    causes = f.each_invalid(f"{path}.name", name, names.path_segment(name)) if name else []
    if name and selector is not None:
        causes += [f.forbidden(f"{path}.name", _EXCLUSIVE), f.forbidden(f"{path}.selector", _EXCLUSIVE)]
    if selector is not None:
        causes += selectors.label_selector(selector, f"{path}.selector")
    elif not name:
        causes.append(f.required(path, "one of name or selector must be specified"))
    return causes + f.one_of(
        ref.get("parameterNotFoundAction"), f"{path}.parameterNotFoundAction", NOT_FOUND_ACTIONS, need=True
    )
