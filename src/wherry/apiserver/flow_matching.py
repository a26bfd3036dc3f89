"""Which FlowSchema a request belongs to, and whose flow within it. Pure; `limits.py` remembers the answers.

Source: what Kubernetes documents of FlowSchema: the matching schema with the lowest matchingPrecedence, then the lowest name.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.types import Obj
from wherry.apiserver.auth.user import SERVICE_ACCOUNT_PREFIX, User
from wherry.apiserver.filters.request_info import RequestInfo


def ordered(schemas: Iterable[Obj]) -> list[Obj]:
    """In the order in which they are tried."""
    return sorted(
        schemas, key=lambda each: ((each.get("spec") or {}).get("matchingPrecedence", 1000), each["metadata"]["name"])
    )


def matches(schema: Obj, user: User, info: RequestInfo) -> bool:
    return any(_rule(rule, user, info) for rule in (schema.get("spec") or {}).get("rules") or [])


def flow(schema: Obj, user: User, info: RequestInfo) -> str:
    """What tells this request's flow from others of the schema."""
    method = (schema["spec"].get("distinguisherMethod") or {}).get("type", "")
    return {"ByUser": user.name, "ByNamespace": info.namespace}.get(method, "")


def _rule(rule: Obj, user: User, info: RequestInfo) -> bool:
    if not any(_subject(each, user) for each in rule.get("subjects") or []):
        return False
    if info.is_resource:
        return any(_resource(each, info) for each in rule.get("resourceRules") or [])
    return any(
        _has(each["verbs"], info.verb) and any(_path(url, info.path) for url in each["nonResourceURLs"])
        for each in rule.get("nonResourceRules") or []
    )


def _subject(subject: Obj, user: User) -> bool:
    kind = subject.get("kind")
    if kind == "User":
        return subject["user"]["name"] in ("*", user.name)
    if kind == "Group":
        return subject["group"]["name"] == "*" or subject["group"]["name"] in user.groups
    if kind == "ServiceAccount" and user.name.startswith(SERVICE_ACCOUNT_PREFIX):
        account = subject["serviceAccount"]
        namespace, _, name = user.name[len(SERVICE_ACCOUNT_PREFIX) :].partition(":")
        return account["namespace"] == namespace and account["name"] in ("*", name)
    return False


def _resource(rule: Obj, info: RequestInfo) -> bool:
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    if not (
        _has(rule["verbs"], info.verb) and _has(rule["apiGroups"], info.group) and _has(rule["resources"], resource)
    ):
        return False
    if info.namespace:
        return _has(rule.get("namespaces") or [], info.namespace)
    return bool(rule.get("clusterScope"))


def _has(values: list[str], value: str) -> bool:
    return "*" in values or value in values


def _path(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("/*") and path.startswith(pattern[:-1]))
