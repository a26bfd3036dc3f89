"""May this user do this? `system:masters` may everything; then the node authorizer for nodes; then roles and bindings.

The rules of all bindings are indexed by subject and kept until one of those objects changes; what roles decided is kept as
long. What a node may depends on its pods and is looked at each time. Semantics: Kubernetes' "Using RBAC Authorization".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from wherry.api.labels import Selector
from wherry.api.types import Obj
from wherry.apiserver.auth.attributes import Attributes, Decision, denial, rule_allows
from wherry.apiserver.auth.node import NodeAuthorizer, node_name
from wherry.apiserver.auth.user import MASTERS, SERVICE_ACCOUNT_PREFIX, User
from wherry.storage.interface import Storage

GROUP = "rbac.authorization.k8s.io"
_PREFIX = f"/registry/{GROUP}/"
_ROLES, _CLUSTER_ROLES = f"{_PREFIX}roles/", f"{_PREFIX}clusterroles/"
_ROLE_BINDINGS, _CLUSTER_ROLE_BINDINGS = f"{_PREFIX}rolebindings/", f"{_PREFIX}clusterrolebindings/"
REMEMBERED_DECISIONS = 8192


class Grant(Struct, frozen=True):
    """The rules one binding gives to one subject, in one namespace or (None) everywhere. `missing` says in Kubernetes' words
    that its role does not exist."""

    namespace: str | None
    rules: tuple[Obj, ...]
    reason: str
    missing: str = ""


_MASTER = Decision(True)


class Authorizer:
    """Over storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._nodes = NodeAuthorizer(storage)
        self._version: tuple[int, ...] = ()
        self._grants: dict[str, list[Grant]] = {}
        self._decisions: dict[tuple[Any, ...], Decision] = {}

    def version(self) -> tuple[int, ...]:
        """Changes whenever a decision about anybody but a node may have changed."""
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
            raise denial(user, attributes, decision.reason)

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
        if not decision.allowed and (node := node_name(user)) is not None:
            of_node = self._nodes.decide(node, attributes)
            reasons = "\n".join(filter(None, (of_node.reason, decision.reason)))
            return Decision(of_node.allowed, "" if of_node.allowed else reasons)
        return decision

    def _decide(self, user: User, attributes: Attributes) -> Decision:
        missing: dict[str, None] = {}
        for grant in self.grants(user):
            if grant.namespace is not None and (attributes.path or grant.namespace != attributes.namespace):
                continue
            if grant.missing:
                missing[grant.missing] = None
            for rule in grant.rules:
                if rule_allows(rule, attributes):
                    return Decision(True, grant.reason)
        return Decision(False, f"RBAC: {together(missing)}" if missing else "")

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
        return index

    def _index_binding(self, index: dict[str, list[Grant]], binding: Obj, namespace: str | None) -> None:
        reference = binding.get("roleRef") or {}
        rules = self._rules(namespace, reference)
        missing = (
            ""
            if rules is not None
            else f'{reference.get("kind", "").lower()}.{GROUP} "{reference.get("name")}" not found'
        )
        name = binding["metadata"]["name"]
        where = f'"{name}/{namespace}"' if namespace is not None else f'"{name}"'
        for subject in binding.get("subjects") or []:
            key, shown = _subject(subject, namespace)
            reason = (
                f"RBAC: allowed by {binding['kind']} {where} of {reference.get('kind')} "
                f'"{reference.get("name")}" to {subject.get("kind")} "{shown}"'
            )
            index.setdefault(key, []).append(Grant(namespace, rules or (), reason, missing))

    def rules_of(self, namespace: str, reference: Obj) -> tuple[Obj, ...] | None:
        """The rules a roleRef stands for, in a namespace ("" for cluster bindings); None when there is no such role."""
        return self._rules(namespace or None, reference)

    def _rules(self, namespace: str | None, reference: Obj) -> tuple[Obj, ...] | None:
        name = reference.get("name", "")
        if reference.get("kind") == "ClusterRole":
            entry = self._storage.get(f"{_CLUSTER_ROLES}-/{name}")
        else:
            entry = self._storage.get(f"{_ROLES}{namespace}/{name}")
        if entry is None:
            return None
        role = entry.value
        if role.get("aggregationRule"):
            return tuple(self._aggregated(role, set()))
        return tuple(role.get("rules") or ())

    def _aggregated(self, role: Obj, seen: set[str]) -> list[Obj]:
        """The rules of every ClusterRole an aggregationRule selects, and of those these aggregate (`admin` <- `edit`), each
        once: as the labels are now. The controller that shows them in the role itself comes a moment later."""
        seen.add(role["metadata"]["name"])
        selectors = [Selector.from_object(each) for each in role["aggregationRule"].get("clusterRoleSelectors") or []]
        rules: list[Obj] = []
        for entry in self._storage.list(_CLUSTER_ROLES):
            other, metadata = entry.value, entry.value["metadata"]
            labels = metadata.get("labels") or {}
            if metadata["name"] in seen or not any(selector.matches(labels) for selector in selectors):
                continue
            rules += self._aggregated(other, seen) if other.get("aggregationRule") else other.get("rules") or []
        return rules


def together(problems: dict[str, None]) -> str:
    """Several errors as Go joins them."""
    return next(iter(problems)) if len(problems) == 1 else f"[{', '.join(problems)}]"


def _subject(subject: Obj, namespace: str | None) -> tuple[str, str]:
    """The index key of a binding's subject and how reasons show it."""
    name = subject.get("name", "")
    if subject.get("kind") == "ServiceAccount":
        home = subject.get("namespace") or namespace or ""
        return f"User:{SERVICE_ACCOUNT_PREFIX}{home}:{name}", f"{name}/{home}"
    return f"{subject.get('kind')}:{name}", name
