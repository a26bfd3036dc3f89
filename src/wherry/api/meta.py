"""What all objects have in common: identity, owners, finalizers, conditions.

Functions over plain dicts. They never change what they are given: those that "set" answer with a new list.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from wherry.api.types import Obj


def name(obj: Mapping[str, Any]) -> str:
    text: str = obj["metadata"]["name"]
    return text


def namespace(obj: Mapping[str, Any]) -> str:
    """ "" for what is not in a namespace."""
    return obj["metadata"].get("namespace") or ""


def uid(obj: Mapping[str, Any]) -> str:
    return obj["metadata"].get("uid") or ""


def key(obj: Mapping[str, Any]) -> str:
    """`namespace/name`, or the name alone: what work queues and log lines say."""
    space = namespace(obj)
    return f"{space}/{name(obj)}" if space else name(obj)


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations(obj: Mapping[str, Any]) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def is_deleting(obj: Mapping[str, Any]) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


# Owners


def owner_references(obj: Mapping[str, Any]) -> list[Obj]:
    return obj["metadata"].get("ownerReferences") or []


def controller_of(obj: Mapping[str, Any]) -> Obj | None:
    """The owner reference whose `controller` is true, of which there is at most one."""
    return next((reference for reference in owner_references(obj) if reference.get("controller")), None)


def is_controlled_by(obj: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == uid(owner)


def owner_reference(owner: Mapping[str, Any], *, controller: bool = True) -> Obj:
    """A reference that says `owner` owns; deleting the owner in the foreground waits for what it controls."""
    reference: Obj = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name(owner),
        "uid": uid(owner),
    }
    if controller:
        reference |= {"controller": True, "blockOwnerDeletion": True}
    return reference


# Conditions


def conditions(obj: Mapping[str, Any]) -> list[Obj]:
    return (obj.get("status") or {}).get("conditions") or []


def get_condition(obj: Mapping[str, Any], type: str) -> Obj | None:
    return next((condition for condition in conditions(obj) if condition.get("type") == type), None)


def is_condition_true(obj: Mapping[str, Any], type: str) -> bool:
    condition = get_condition(obj, type)
    return condition is not None and condition.get("status") == "True"


def set_condition(existing: Sequence[Obj], condition: Obj, now: str) -> list[Obj]:
    """The list with this condition in it, in its old place or at the end.

    `now` (RFC 3339) becomes lastTransitionTime when the status changes; otherwise the old time is kept.
    """
    placed: list[Obj] = []
    found = False
    for old in existing:
        if old.get("type") != condition["type"]:
            placed.append(old)
            continue
        found = True
        changed = old.get("status") != condition["status"]
        since = now if changed else old.get("lastTransitionTime") or now
        placed.append({**condition, "lastTransitionTime": since})
    if not found:
        placed.append({**condition, "lastTransitionTime": condition.get("lastTransitionTime") or now})
    return placed


def without_condition(existing: Sequence[Obj], type: str) -> list[Obj]:
    return [condition for condition in existing if condition.get("type") != type]


# Pods


def pod_phase(pod: Mapping[str, Any]) -> str:
    return (pod.get("status") or {}).get("phase") or ""


def is_pod_terminal(pod: Mapping[str, Any]) -> bool:
    """Whether its containers ran their last: they will not start again."""
    return pod_phase(pod) in ("Succeeded", "Failed")


def is_pod_active(pod: Mapping[str, Any]) -> bool:
    return not is_pod_terminal(pod) and not is_deleting(pod)


def is_pod_ready(pod: Mapping[str, Any]) -> bool:
    return is_condition_true(pod, "Ready")
