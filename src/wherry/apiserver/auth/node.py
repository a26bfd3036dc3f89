"""The node authorizer: a node reads its own Node and pods and what these pods use, nothing else by name.

`system:node:NAME` in the group `system:nodes` is a node. What is of no particular node (Services, CSIDrivers, ...) follows
the ClusterRole `system:node`. What a node may write is narrowed further by the admission plugin NodeRestriction. Rules and
texts: Kubernetes' "Using Node Authorization".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from wherry.api.types import Obj
from wherry.apiserver.auth import pod_references
from wherry.apiserver.auth.attributes import Attributes, Decision, rule_allows
from wherry.apiserver.auth.user import NODES_GROUP, User
from wherry.storage.interface import Entry, Storage

NODE_PREFIX = "system:node:"
NODE_ROLE = "system:node"
LEASE_NAMESPACE = "kube-node-lease"
_PODS = "/registry/core/pods/"
_ROLE = f"/registry/rbac.authorization.k8s.io/clusterroles/-/{NODE_ROLE}"
_READ = frozenset({"get", "list", "watch"})
KNOWN_MAX = 4096
"""Found relationships that are looked at first the next time; when full, all are found anew."""

_ALLOWED = Decision(True)


def node_name(user: User) -> str | None:
    """The node a user is; None for somebody else, "" for a node without a name."""
    if not user.name.startswith(NODE_PREFIX) or NODES_GROUP not in user.groups:
        return None
    return user.name[len(NODE_PREFIX) :]


def _no(reason: str = "") -> Decision:
    return Decision(False, reason)


class NodeAuthorizer:
    """Over storage; remembers through which pod an object belongs to a node."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known: dict[tuple[str, str, str, str], tuple[str, str]] = {}

    def decide(self, node: str, a: Attributes) -> Decision:
        """Whether the node may; when not, why. `node` is `node_name()` of the user."""
        if not node:
            return _no(f'unknown node for user "{NODE_PREFIX}"')
        rule = None if a.path else _RULES.get((a.group, a.resource))
        return rule(self, node, a) if rule is not None else self._by_role(a)

    def _by_role(self, a: Attributes) -> Decision:
        entry = self._storage.get(_ROLE)
        rules = entry.value.get("rules") or () if entry is not None else ()
        return _ALLOWED if any(rule_allows(rule, a) for rule in rules) else _no()

    # -- one rule per kind

    def _own_node(self, node: str, a: Attributes) -> Decision:
        if not a.subresource:
            if a.verb in ("create", "update", "patch"):
                return _ALLOWED
            if a.verb in _READ:
                if a.name == node:
                    return _ALLOWED
                what = f"'{a.name}'" if a.name else "all nodes"
                return _no(f"node '{node}' cannot read {what}, only its own Node object")
        elif a.subresource == "status" and a.verb in ("update", "patch"):
            return _ALLOWED
        return _no()

    def _pods(self, node: str, a: Attributes) -> Decision:
        if a.subresource == "status":
            return _ALLOWED if a.verb in ("update", "patch") else _no()
        if a.subresource == "eviction":
            return _ALLOWED if a.verb == "create" else _no()
        if a.subresource:
            return _no()
        if a.verb in ("create", "delete"):
            return _ALLOWED
        if a.verb == "get":
            return self._related(node, a, self._is_own_pod)
        if a.verb in ("list", "watch"):
            if ("spec.nodeName", "=", node) in a.fields:
                return _ALLOWED
            return _no("can only list/watch pods with spec.nodeName field selector")
        return _no()

    def _secret(self, node: str, a: Attributes) -> Decision:
        return self._readable(node, a, pod_references.secrets)

    def _config_map(self, node: str, a: Attributes) -> Decision:
        return self._readable(node, a, pod_references.config_maps)

    def _claim(self, node: str, a: Attributes) -> Decision:
        if a.subresource == "status":
            if a.verb not in ("update", "patch"):
                return _no("can only update or patch the status of a persistent volume claim")
            return self._related(node, a, lambda one, wanted: self._used(one, wanted, pod_references.claims))
        return self._gettable(node, a, lambda one, wanted: self._used(one, wanted, pod_references.claims))

    def _resource_claim(self, node: str, a: Attributes) -> Decision:
        return self._gettable(node, a, lambda one, wanted: self._used(one, wanted, pod_references.resource_claims))

    def _volume(self, node: str, a: Attributes) -> Decision:
        return self._gettable(node, a, self._uses_volume)

    def _account(self, node: str, a: Attributes) -> Decision:
        def used(one: str, wanted: Attributes) -> str:
            return self._used(one, wanted, pod_references.accounts)

        if a.subresource != "token":
            return self._gettable(node, a, used)
        if a.verb != "create" or not a.name:
            return _no("can only create tokens for individual service accounts")
        return self._related(node, a, used)

    def _lease(self, node: str, a: Attributes) -> Decision:
        if a.verb not in ("get", "create", "update", "patch", "delete"):
            return _no("can only get, create, update, patch, or delete a node lease")
        if a.namespace != LEASE_NAMESPACE:
            return _no(f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
        if a.verb != "create" and a.name != node:
            return _no("can only access node lease with the same name as the requesting node")
        return _ALLOWED

    def _csi_node(self, node: str, a: Attributes) -> Decision:
        if a.verb not in ("get", "create", "update", "patch", "delete"):
            return _no("can only get, create, update, patch, or delete a CSINode")
        if a.subresource:
            return _no("cannot authorize CSINode subresources")
        if a.verb != "create" and a.name != node:
            return _no("can only access CSINode with the same name as the requesting node")
        return _ALLOWED

    # -- relationships

    def _readable(self, node: str, a: Attributes, named: Callable[[Obj], Iterator[str]]) -> Decision:
        if a.verb not in _READ:
            return _no("can only read resources of this type")
        if a.subresource:
            return _no("cannot read subresource")
        if not a.namespace:
            return _no("can only read namespaced object of this type")
        return self._related(node, a, lambda one, wanted: self._used(one, wanted, named))

    def _gettable(self, node: str, a: Attributes, found: Callable[[str, Attributes], str]) -> Decision:
        if a.verb != "get":
            return _no("can only get individual resources of this type")
        if a.subresource:
            return _no("cannot get subresource")
        return self._related(node, a, found)

    def _related(self, node: str, a: Attributes, found: Callable[[str, Attributes], str]) -> Decision:
        """`found` says the key of the pod through which the object belongs to the node."""
        if not a.name:
            return _no("No Object name found")
        key = (node, a.resource, a.namespace, a.name)
        known = self._known.get(key)
        if known is not None:
            entry = self._storage.get(known[0])
            if entry is not None and entry.value["metadata"].get("uid") == known[1]:
                return _ALLOWED
        pod = found(node, a)
        if not pod:
            return _no(f"no relationship found between node '{node}' and this object")
        entry = self._storage.get(pod)
        if entry is not None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[key] = (pod, entry.value["metadata"].get("uid", ""))
        return _ALLOWED

    def _pods_of(self, node: str, namespace: str) -> Iterator[Entry]:
        for entry in self._storage.list(f"{_PODS}{namespace}/" if namespace else _PODS):
            if entry.value["spec"].get("nodeName") == node:
                yield entry

    def _is_own_pod(self, node: str, a: Attributes) -> str:
        key = f"{_PODS}{a.namespace}/{a.name}"
        entry = self._storage.get(key)
        return key if entry is not None and entry.value["spec"].get("nodeName") == node else ""

    def _used(self, node: str, a: Attributes, named: Callable[[Obj], Iterator[str]]) -> str:
        for entry in self._pods_of(node, a.namespace):
            if any(name == a.name for name in named(entry.value)):
                return entry.key
        return ""

    def _uses_volume(self, node: str, a: Attributes) -> str:
        volume = self._storage.get(f"/registry/core/persistentvolumes/-/{a.name}")
        claim = (volume.value["spec"].get("claimRef") or {}) if volume is not None else {}
        if not claim.get("name"):
            return ""
        wanted = Attributes("get", "", "persistentvolumeclaims", "", claim.get("namespace", ""), claim["name"])
        return self._used(node, wanted, pod_references.claims)


_Rule = Callable[[NodeAuthorizer, str, Attributes], Decision]
_RULES: dict[tuple[str, str], _Rule] = {
    ("", "nodes"): NodeAuthorizer._own_node,
    ("", "pods"): NodeAuthorizer._pods,
    ("", "secrets"): NodeAuthorizer._secret,
    ("", "configmaps"): NodeAuthorizer._config_map,
    ("", "persistentvolumeclaims"): NodeAuthorizer._claim,
    ("", "persistentvolumes"): NodeAuthorizer._volume,
    ("", "serviceaccounts"): NodeAuthorizer._account,
    ("resource.k8s.io", "resourceclaims"): NodeAuthorizer._resource_claim,
    ("coordination.k8s.io", "leases"): NodeAuthorizer._lease,
    ("storage.k8s.io", "csinodes"): NodeAuthorizer._csi_node,
}
