"""What admission webhooks and policies have in common: rules, selectors, policies of matching and failing, conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import fill, section
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import selectors

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
CONDITIONS_MAX = 64
"""Match conditions of one webhook or policy, as Kubernetes limits them."""

CheckExpression = Callable[[str, str], list[Cause]]
"""(expression, path of the field) -> what is wrong with it."""


def default_matching(holder: Obj, rules: str) -> None:
    """matchPolicy, both selectors and the scope of the rules under `rules`, in place."""
    fill(holder, matchPolicy="Equivalent")
    section(holder, "namespaceSelector")
    section(holder, "objectSelector")
    for rule in f.as_list(holder.get(rules)):
        fill(rule, scope="*")


def rule_with_operations(rule: Obj, path: str) -> list[Cause]:
    operations = f.as_list(rule.get("operations"))
    at = f"{path}.operations"
    causes = _wildcard(operations, at, "operations") if operations else [f.required(at)]
    for i, operation in enumerate(operations):
        if operation not in OPERATIONS:
            causes.append(f.not_supported(f"{at}[{i}]", operation, OPERATIONS))
    groups, versions = f.as_list(rule.get("apiGroups")), f.as_list(rule.get("apiVersions"))
    causes += _wildcard(groups, f"{path}.apiGroups", "API groups") if groups else [f.required(f"{path}.apiGroups")]
    at = f"{path}.apiVersions"
    causes += _wildcard(versions, at, "API versions") if versions else [f.required(at)]
    causes += [f.required(f"{at}[{i}]") for i, version in enumerate(versions) if not version]
    causes += _resources(f.as_list(rule.get("resources")), f"{path}.resources")
    return causes + f.one_of(rule.get("scope"), f"{path}.scope", SCOPES)


def _wildcard(values: list[Any], path: str, what: str) -> list[Cause]:
    if len(values) > 1 and "*" in values:
        return [f.invalid(path, values, f"if '*' is present, must not specify other {what}")]
    return []


def _resources(resources: list[Any], path: str) -> list[Cause]:
    """`pods`, `pods/log`, `pods/*`, `*/scale`, `*`, `*/*`; what another one already covers is an error."""
    if not resources:
        return [f.required(path)]
    causes: list[Cause] = []
    whole: set[str] = set()
    everywhere: set[str] = set()
    for i, each in enumerate(resources):
        at = f"{path}[{i}]"
        resource, slash, sub = each.partition("/")
        if not each:
            causes.append(f.required(at))
        if not slash:
            continue
        if resource in whole:
            causes.append(f.invalid(at, each, f"if '{resource}/*' is present, must not specify {each}"))
        if sub in everywhere:
            causes.append(f.invalid(at, each, f"if '*/{sub}' is present, must not specify {each}"))
        if sub == "*":
            whole.add(resource)
        if resource == "*":
            everywhere.add(sub)
    if len(resources) > 1 and "*/*" in resources:
        causes.append(f.invalid(path, resources, "if '*/*' is present, must not specify other resources"))
    plain = [each for each in resources if "/" not in each and each not in ("", "*")]
    if "*" in resources and plain:
        text = "if '*' is present, must not specify other resources without subresources"
        causes.append(f.invalid(path, resources, text))
    return causes


def failure_policy(holder: Obj, path: str) -> list[Cause]:
    return _known(holder, "failurePolicy", path, FAILURE_POLICIES)


def matching(holder: Obj, path: str) -> list[Cause]:
    """matchPolicy and the two selectors."""
    causes = _known(holder, "matchPolicy", path, MATCH_POLICIES)
    for key in ("namespaceSelector", "objectSelector"):
        causes += selectors.label_selector(holder.get(key), f"{path}.{key}" if path else key)
    return causes


def _known(holder: Obj, key: str, path: str, supported: tuple[str, ...]) -> list[Cause]:
    value = holder.get(key)
    at = f"{path}.{key}" if path else key
    return [] if value is None or value in supported else [f.not_supported(at, value, supported)]


def match_conditions(conditions: list[Any], path: str, check: CheckExpression) -> list[Cause]:
    """CEL expressions with unique names."""
    causes: list[Cause] = []
    if len(conditions) > CONDITIONS_MAX:
        causes.append(f.too_many(path, len(conditions), CONDITIONS_MAX))
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        at, name = f"{path}[{i}]", condition.get("name") or ""
        expression = condition.get("expression") or ""
        causes += check(expression, f"{at}.expression") if expression.strip() else [f.required(f"{at}.expression")]
        if not name:
            causes.append(f.required(f"{at}.name"))
            continue
        causes += f.each_invalid(f"{at}.name", name, names.qualified_name(name))
        if name in seen:
            causes.append(f.duplicate(f"{at}.name", name))
        seen.add(name)
    return causes
