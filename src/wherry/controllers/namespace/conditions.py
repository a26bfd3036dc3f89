"""What a namespace on its way out says about itself. Pure.

Five conditions, always together; reasons and messages are kube-controller-manager's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj


class Remaining(Struct):
    """What is still there: objects per resource (`pods.`, `deployments.apps`), objects per finalizer, and failures."""

    resources: dict[str, int] = field(default_factory=dict)
    finalizers: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.resources or self.failures)


def status(namespace: Obj, remaining: Remaining, now: float) -> Obj:
    """The namespace's status with the conditions of this look; times of unchanged ones stay."""
    before = {entry["type"]: entry for entry in namespace.get("status", {}).get("conditions") or ()}
    conditions = []
    for kind, value, reason, message in _conditions(remaining):
        old = before.get(kind)
        same = old is not None and (old["status"], old["reason"], old["message"]) == (value, reason, message)
        moved = rfc3339(now) if old is None or not same else old["lastTransitionTime"]
        conditions.append(
            {"type": kind, "status": value, "lastTransitionTime": moved, "reason": reason, "message": message}
        )
    return {"phase": "Terminating", "conditions": conditions}


def _conditions(remaining: Remaining) -> Iterable[tuple[str, str, str, str]]:
    prefix = "NamespaceDeletion"
    yield f"{prefix}DiscoveryFailure", "False", "ResourcesDiscovered", "All resources successfully discovered"
    yield (
        f"{prefix}GroupVersionParsingFailure",
        "False",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    )
    if remaining.failures:
        text = (
            f"Failed to delete all resource types, {len(remaining.failures)} remaining: {', '.join(remaining.failures)}"
        )
        yield f"{prefix}ContentFailure", "True", "ContentDeletionFailed", text
    else:
        text = "All content successfully deleted, may be waiting on finalization"
        yield f"{prefix}ContentFailure", "False", "ContentDeleted", text
    if remaining.resources:
        text = f"Some resources are remaining: {_counted(remaining.resources, 'has', 'resource instances')}"
        yield "NamespaceContentRemaining", "True", "SomeResourcesRemain", text
    else:
        yield "NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed"
    if remaining.finalizers:
        text = _counted(remaining.finalizers, "in", "resource instances")
        text = f"Some content in the namespace has finalizers remaining: {text}"
        yield "NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", text
    else:
        text = "All content-preserving finalizers finished"
        yield "NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers", text


def _counted(numbers: Mapping[str, int], verb: str, what: str) -> str:
    return ", ".join(f"{name} {verb} {number} {what}" for name, number in sorted(numbers.items()))
