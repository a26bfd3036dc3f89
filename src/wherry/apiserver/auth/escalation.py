"""Nobody gives away what they do not have: writing a role needs every permission in it, binding one likewise.

Exempt are those with the verbs `escalate` (roles) and `bind` (bindings) on the role, and system:masters. A change that
leaves rules or roleRef and subjects alone is always fine. Documented in Kubernetes' "Using RBAC Authorization", section
"Privilege escalation prevention and bootstrapping".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from wherry.api.errors import StatusError, forbidden, not_found
from wherry.api.types import Obj
from wherry.apiserver.auth.attributes import Attributes, rule_allows
from wherry.apiserver.auth.rbac import GROUP, Authorizer
from wherry.apiserver.auth.user import MASTERS, User
from wherry.apiserver.registry.validation.field import quote

_ROLES = frozenset({"roles", "clusterroles"})
_BINDINGS = frozenset({"rolebindings", "clusterrolebindings"})


class Permission(Struct, frozen=True):
    """One rule taken apart: one verb on one resource (or path)."""

    verb: str
    group: str = ""
    resource: str = ""
    name: str = ""
    path: str = ""


def check(authorizer: Authorizer, user: User, resource: str, obj: Obj, old: Obj | None) -> None:
    """`obj` is about to be created or to replace `old`; `resource` is its plural. Raises 403, and 404 for a role that is not."""
    if MASTERS in user.groups:
        return
    namespace = obj["metadata"].get("namespace", "")
    name = obj["metadata"].get("name", "")
    if resource in _ROLES:
        if (
            old is not None
            and old.get("rules") == obj.get("rules")
            and old.get("aggregationRule") == obj.get("aggregationRule")
        ):
            return
        if authorizer.decide(user, Attributes("escalate", GROUP, resource, "", namespace, name)).allowed:
            return
        rules = obj.get("rules") or []
        if obj.get("aggregationRule"):
            # It will hold whatever is labelled for it: only who has everything may write one.
            rules = [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]
    elif resource in _BINDINGS:
        reference = obj.get("roleRef") or {}
        if old is not None and old.get("roleRef") == reference and old.get("subjects") == obj.get("subjects"):
            return
        role = "clusterroles" if reference.get("kind") == "ClusterRole" else "roles"
        if authorizer.decide(user, Attributes("bind", GROUP, role, "", namespace, reference.get("name", ""))).allowed:
            return
        found = authorizer.rules_of(namespace, reference)
        if found is None:
            raise not_found(role, reference.get("name", ""), GROUP)
        rules = list(found)
    else:
        return
    missing = _missing(authorizer, user, namespace, rules)
    if missing:
        raise _refused(user, resource, name, missing)


def _missing(authorizer: Authorizer, user: User, namespace: str, rules: Iterable[Obj]) -> list[Permission]:
    own = [
        rule
        for grant in authorizer.grants(user)
        if grant.namespace in (None, namespace or None)
        for rule in grant.rules
    ]
    return [each for rule in rules for each in _permissions(rule) if not any(_covers(have, each) for have in own)]


def _permissions(rule: Obj) -> Iterator[Permission]:
    for verb in rule.get("verbs") or []:
        for path in rule.get("nonResourceURLs") or []:
            yield Permission(verb, path=path)
        for group in rule.get("apiGroups") or []:
            for resource in rule.get("resources") or []:
                for name in rule.get("resourceNames") or [""]:
                    yield Permission(verb, group, resource, name)


def _covers(rule: Obj, wanted: Permission) -> bool:
    """A wildcard is only covered by a wildcard: `rule_allows` compares texts, and `*` is one."""
    resource, _, subresource = wanted.resource.partition("/")
    return rule_allows(rule, Attributes(wanted.verb, wanted.group, resource, subresource, "", wanted.name, wanted.path))


def _refused(user: User, resource: str, name: str, missing: list[Permission]) -> StatusError:
    verbs: dict[tuple[str, str, str, str], list[str]] = {}
    for each in missing:
        verbs.setdefault((each.group, each.resource, each.name, each.path), []).append(each.verb)
    lines = sorted(_line(*what, each) for what, each in verbs.items())
    groups = " ".join(quote(group) for group in user.groups)
    who = f"user {quote(user.name)} (groups=[{groups}])"
    why = f"{who} is attempting to grant RBAC permissions not currently held:\n" + "\n".join(lines)
    return forbidden(resource, GROUP, name, why)


def _line(group: str, resource: str, name: str, path: str, verbs: list[str]) -> str:
    listed = " ".join(quote(verb) for verb in dict.fromkeys(verbs))
    if path:
        return f"{{NonResourceURLs:[{quote(path)}], Verbs:[{listed}]}}"
    names = f", ResourceNames:[{quote(name)}]" if name else ""
    return f"{{APIGroups:[{quote(group)}], Resources:[{quote(resource)}]{names}, Verbs:[{listed}]}}"
