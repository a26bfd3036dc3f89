"""Who owns whom, over every object of every resource, as the informers show it. Plain memory, no I/O.

Keyed by uid alone: names are reused, uids are not. An owner may be unknown here (not seen yet, gone, or never there):
then it has dependents but no node.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from wherry.api.types import GVR, Obj

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class Node(Struct, frozen=True):
    """What of an object matters here."""

    gvr: GVR
    namespace: str
    name: str
    uid: str
    resource_version: str
    owners: tuple[Obj, ...]
    finalizers: tuple[str, ...]
    deleting: bool

    @property
    def in_foreground(self) -> bool:
        """It waits for its dependents to go first."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphans(self) -> bool:
        """It waits for its dependents to be let go."""
        return self.deleting and ORPHAN in self.finalizers

    def blocks(self, owner_uid: str) -> bool:
        """Whether the owner, deleted in the foreground, has to wait for this one."""
        return any(ref["uid"] == owner_uid and ref.get("blockOwnerDeletion") for ref in self.owners)

    @classmethod
    def of(cls, gvr: GVR, obj: Obj) -> Node:
        metadata = obj["metadata"]
        return cls(
            gvr,
            metadata.get("namespace", ""),
            metadata["name"],
            metadata["uid"],
            metadata.get("resourceVersion", ""),
            tuple(metadata.get("ownerReferences") or ()),
            tuple(metadata.get("finalizers") or ()),
            "deletionTimestamp" in metadata,
        )


class Graph:
    """Nodes by uid, and the dependents of every uid that is named as an owner."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def dependents(self, uid: str) -> list[Node]:
        return [self._nodes[one] for one in self._dependents.get(uid, ())]

    def put(self, node: Node) -> set[str]:
        """Store a new version; the uids that need a look because of it."""
        old = self._nodes.get(node.uid)
        self._nodes[node.uid] = node
        before = {ref["uid"] for ref in old.owners} if old is not None else set()
        now = {ref["uid"] for ref in node.owners}
        self._link(node.uid, before, now)
        wanted: set[str] = set()
        if old is None:
            if any(uid not in self._nodes for uid in now):
                wanted.add(node.uid)  # an owner we do not know: it may be gone
        elif before != now:
            wanted.add(node.uid)
            wanted |= before - now  # an owner that waited for this one
        if node.deleting and (node.in_foreground or node.orphans):
            wanted.add(node.uid)
        if node.in_foreground and (old is None or not old.in_foreground):
            wanted.update(self._dependents.get(node.uid, ()))
        if old is not None and not old.deleting and node.deleting:
            wanted |= {uid for uid in now if self._waits(uid)}
        return wanted

    def remove(self, uid: str) -> set[str]:
        """It is gone; the uids that need a look because of it."""
        node = self._nodes.pop(uid, None)
        wanted = set(self._dependents.get(uid, ()))
        if node is not None:
            owners = {ref["uid"] for ref in node.owners}
            self._link(uid, owners, set())
            wanted |= {owner for owner in owners if self._waits(owner)}
        return wanted

    def forget(self, gvr: GVR) -> None:
        """Its resource is no longer served: what was known of it is known no more, which does not mean that it is gone."""
        for node in [node for node in self._nodes.values() if node.gvr == gvr]:
            del self._nodes[node.uid]
            self._link(node.uid, {ref["uid"] for ref in node.owners}, set())

    def _waits(self, uid: str) -> bool:
        node = self._nodes.get(uid)
        return node is not None and node.in_foreground

    def _link(self, uid: str, before: Iterable[str], now: Iterable[str]) -> None:
        for owner in before:
            dependents = self._dependents.get(owner)
            if dependents is not None:
                dependents.pop(uid, None)
                if not dependents:
                    del self._dependents[owner]
        for owner in now:
            self._dependents.setdefault(owner, {})[uid] = None
