"""May this user do this? Role-based access control over the Role, ClusterRole and binding objects in storage.

The rules of all bindings are indexed by subject and kept until one of those objects changes; decisions are kept as long.
`system:masters` may do everything. The node authorizer is simplified: the group `system:nodes` has the ClusterRole
`system:node`, whichever node asks. Semantics: Kubernetes' "Using RBAC Authorization".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wherry.api.errors import StatusError, forbidden
from wherry.api.types import Obj
from wherry.apiserver.auth.user import MASTERS, SERVICE_ACCOUNT_PREFIX, User
from wherry.storage.interface import Storage

GROUP = "rbac.authorization.k8s.io"
_PREFIX = f"/registry/{GROUP}/"
_ROLES, _CLUSTER_ROLES = f"{_PREFIX}roles/", f"{_PREFIX}clusterroles/"
_ROLE_BINDINGS, _CLUSTER_ROLE_BINDINGS = f"{_PREFIX}rolebindings/", f"{_PREFIX}clusterrolebindings/"
NODES_GROUP, NODE_ROLE = "system:nodes", "system:node"
REMEMBERED_DECISIONS = 8192


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is to be done: to a resource, or to a path (`path` set)."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def combined(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Grant:
    """The rules one binding gives to one subject, in one namespace or (None) everywhere."""

    namespace: str | None
    rules: tuple[Obj, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    allowed: bool
    reason: str = ""


_DENIED = Decision(False)
_MASTER = Decision(True)


class Authorizer:
    """RBAC over storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._version: tuple[int, ...] = ()
        self._grants: dict[str, list[Grant]] = {}
        self._decisions: dict[tuple[Any, ...], Decision] = {}

    def version(self) -> tuple[int, ...]:
        """Changes whenever a decision may have changed."""
        changed = self._storage.changed_at
        return (
            changed(_ROLES),
            changed(_CLUSTER_ROLES),
            changed(_ROLE_BINDINGS),
            changed(_CLUSTER_ROLE_BINDINGS),
        )

    def check(self, user: User, attributes: Attributes) -> None:
        """Raises 403 with Kubernetes' words."""
        decision = self.decide(user, attributes)
        if not decision.allowed:
            raise denial(user, attributes)

    def decide(self, user: User, attributes: Attributes) -> Decision:
        if MASTERS in user.groups:
            return _MASTER
        self._refresh()
        a = attributes
        key = (user.name, user.groups, a.verb, a.group, a.resource, a.subresource, a.namespace, a.name, a.path)
        decision = self._decisions.get(key)
        if decision is None:
            decision = self._decide(user, attributes)
            if len(self._decisions) >= REMEMBERED_DECISIONS:
                self._decisions.clear()
            self._decisions[key] = decision
        return decision

    def _decide(self, user: User, attributes: Attributes) -> Decision:
        for grant in self.grants(user):
            if grant.namespace is not None and (attributes.path or grant.namespace != attributes.namespace):
                continue
            for rule in grant.rules:
                if rule_allows(rule, attributes):
                    return Decision(True, grant.reason)
        return _DENIED

    def grants(self, user: User) -> Iterator[Grant]:
        """Everything that applies to the user, of all namespaces."""
        self._refresh()
        yield from self._grants.get(f"User:{user.name}", ())
        for group in user.groups:
            yield from self._grants.get(f"Group:{group}", ())

    # -- the index

    def _refresh(self) -> None:
        version = self.version()
        if version != self._version:
            self._version = version
            self._decisions.clear()
            self._grants = self._index()

    def _index(self) -> dict[str, list[Grant]]:
        index: dict[str, list[Grant]] = {}
        for entry in self._storage.list(_CLUSTER_ROLE_BINDINGS):
            self._index_binding(index, entry.value, None)
        for entry in self._storage.list(_ROLE_BINDINGS):
            self._index_binding(index, entry.value, entry.value["metadata"]["namespace"])
        node_rules = self._rules(None, {"kind": "ClusterRole", "name": NODE_ROLE})
        if node_rules:
            index.setdefault(f"Group:{NODES_GROUP}", []).append(Grant(None, node_rules, "node authorizer"))
        return index

    def _index_binding(self, index: dict[str, list[Grant]], binding: Obj, namespace: str | None) -> None:
        reference = binding.get("roleRef") or {}
        rules = self._rules(namespace, reference)
        if not rules:
            return
        name = binding["metadata"]["name"]
        where = f'"{name}/{namespace}"' if namespace is not None else f'"{name}"'
        for subject in binding.get("subjects") or []:
            key, shown = _subject(subject, namespace)
            reason = (
                f"RBAC: allowed by {binding['kind']} {where} of {reference.get('kind')} "
                f'"{reference.get("name")}" to {subject.get("kind")} "{shown}"'
            )
            index.setdefault(key, []).append(Grant(namespace, rules, reason))

    def rules_of(self, namespace: str, reference: Obj) -> tuple[Obj, ...]:
        """The rules a roleRef stands for, in a namespace ("" for cluster bindings)."""
        return self._rules(namespace or None, reference)

    def _rules(self, namespace: str | None, reference: Obj) -> tuple[Obj, ...]:
        name = reference.get("name", "")
        if reference.get("kind") == "ClusterRole":
            entry = self._storage.get(f"{_CLUSTER_ROLES}-/{name}")
        else:
            entry = self._storage.get(f"{_ROLES}{namespace}/{name}")
        if entry is None:
            return ()
        role = entry.value
        if role.get("aggregationRule"):
            return tuple(self._aggregated(role))
        return tuple(role.get("rules") or ())

    def _aggregated(self, role: Obj) -> list[Obj]:
        """The rules of every ClusterRole an aggregationRule selects, and of those these aggregate (`admin` <- `edit`): as the
        labels are now, whatever the role itself says."""
        wanted = [each.get("matchLabels") or {} for each in role["aggregationRule"].get("clusterRoleSelectors") or []]
        rules: list[Obj] = []
        for entry in self._storage.list(_CLUSTER_ROLES):
            other = entry.value
            labels = other["metadata"].get("labels") or {}
            if other is role or not any(want and want.items() <= labels.items() for want in wanted):
                continue
            rules += self._aggregated(other) if other.get("aggregationRule") else other.get("rules") or []
        return rules


def _subject(subject: Obj, namespace: str | None) -> tuple[str, str]:
    """The index key of a binding's subject and how reasons show it."""
    name = subject.get("name", "")
    if subject.get("kind") == "ServiceAccount":
        home = subject.get("namespace") or namespace or ""
        return f"User:{SERVICE_ACCOUNT_PREFIX}{home}:{name}", f"{name}/{home}"
    return f"{subject.get('kind')}:{name}", name


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
    if pattern == "*" or pattern == path:
        return True
    return pattern.endswith("*") and path.startswith(pattern.rstrip("*"))


def denial(user: User, attributes: Attributes, reason: str = "") -> StatusError:
    """The 403 of a request that nothing allows."""
    a = attributes
    after = f": {reason}" if reason else ""
    if a.path:
        return StatusError(
            403, "Forbidden", f'forbidden: User "{user.name}" cannot {a.verb} path "{a.path}"{after}', {}
        )
    where = f'in the namespace "{a.namespace}"' if a.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {a.verb} resource "{a.combined}" in API group "{a.group}" {where}{after}'
    return forbidden(a.resource, a.group, a.name, why)
