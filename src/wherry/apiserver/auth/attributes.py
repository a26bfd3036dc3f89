"""What somebody wants to do, as authorizers see it; one PolicyRule against it; how a refusal reads.

Pure. Semantics: Kubernetes' "Authorization" and "Using RBAC Authorization".
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from wherry.api.errors import StatusError, forbidden
from wherry.api.types import Obj
from wherry.apiserver.auth.user import User


class Attributes(Struct, frozen=True):
    """What is to be done: to a resource, or to a path (`path` set)."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    fields: tuple[tuple[str, str, str], ...] = ()
    """Requirements of a field selector (field, `=` or `!=`, value). Roles know nothing of them, the node authorizer does."""

    @property
    def combined(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Decision(Struct, frozen=True):
    """`reason` says who allowed it, or what kept it from being allowed where that is known."""

    allowed: bool
    reason: str = ""


def rule_allows(rule: Obj, attributes: Attributes) -> bool:
    """One PolicyRule against one request."""
    verbs = rule.get("verbs") or ()
    if attributes.verb not in verbs and "*" not in verbs:
        return False
    if attributes.path:
        return any(_path_matches(pattern, attributes.path) for pattern in rule.get("nonResourceURLs") or ())
    groups = rule.get("apiGroups") or ()
    if attributes.group not in groups and "*" not in groups:
        return False
    names = rule.get("resourceNames")
    if names and attributes.name not in names:
        return False
    return _resource_matches(rule.get("resources") or (), attributes)


def _resource_matches(resources: Any, attributes: Attributes) -> bool:
    if "*" in resources or attributes.combined in resources:
        return True
    return bool(attributes.subresource) and f"*/{attributes.subresource}" in resources


def _path_matches(pattern: str, path: str) -> bool:
    if pattern in ("*", path):
        return True
    return pattern.endswith("*") and path.startswith(pattern.rstrip("*"))


def denial(user: User, attributes: Attributes, reason: str = "") -> StatusError:
    """The 403 of a request that nothing allows."""
    a = attributes
    after = f": {reason}" if reason else ""
    if a.path:
        message = f'forbidden: User "{user.name}" cannot {a.verb} path "{a.path}"{after}'
        return StatusError(403, "Forbidden", message, {})
    where = f'in the namespace "{a.namespace}"' if a.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {a.verb} resource "{a.combined}" in API group "{a.group}" {where}{after}'
    return forbidden(a.resource, a.group, a.name, why)
