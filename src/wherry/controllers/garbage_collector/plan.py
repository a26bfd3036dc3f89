"""What should happen to one object, given what is known of its owners. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct, field

from wherry.controllers.garbage_collector.graph import Graph, Node

OwnerState: TypeAlias = Literal["solid", "waiting", "absent"]
"""Lives; is being deleted and waits for its dependents; does not exist (asked for, if we did not know)."""


class Plan(Struct, frozen=True):
    """At most one of these. `look_at` are the uids to look at in turn."""

    delete: str = ""
    """The propagation policy to delete it with."""
    drop_owners: tuple[str, ...] = ()
    """Owner uids to take out of its references."""
    drop_finalizer: str = ""
    release: tuple[Node, ...] = ()
    """Dependents whose reference to it must go before `drop_finalizer`."""
    unblock: bool = False
    """Before deleting it: its references must no longer block their owners."""
    look_at: tuple[str, ...] = field(default=())


def plan(node: Node, graph: Graph, owners: Mapping[str, OwnerState]) -> Plan:
    """`owners` has the state of each owner reference's uid."""
    dependents = graph.dependents(node.uid)
    if node.orphans:
        return Plan(drop_finalizer="orphan", release=tuple(dependents))
    if node.in_foreground:
        blocking = [one for one in dependents if one.blocks(node.uid)]
        if not blocking:
            return Plan(drop_finalizer="foregroundDeletion")
        return Plan(look_at=tuple(one.uid for one in blocking if not one.deleting))
    if node.deleting or not node.owners:
        return Plan()
    gone = tuple(uid for uid, state in owners.items() if state != "solid")
    if not gone:
        return Plan()
    if len(gone) < len(owners):
        return Plan(drop_owners=gone)
    if dependents and any(state == "waiting" for state in owners.values()):
        # Its own dependents must go before it; a dependent that waits for us in a circle must not block us.
        circular = any(one.in_foreground for one in dependents)
        return Plan(delete="Foreground", unblock=circular)
    if "orphan" in node.finalizers:
        return Plan(delete="Orphan")
    return Plan(delete="Foreground" if "foregroundDeletion" in node.finalizers else "Background")
