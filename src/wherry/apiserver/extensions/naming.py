"""Which names a definition gets, and the conditions that say so. Pure.

A group has every plural, singular and short name once, and every kind and list kind once; who asks second is told and gets
nothing of what is taken. Source: documented conditions of CustomResourceDefinitions (NamesAccepted, Established,
KubernetesAPIApprovalPolicyConformant, Terminating), texts as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from wherry.api.types import Obj
from wherry.apiserver.registry.validation.field import quote

APPROVAL: Final = "api-approved.kubernetes.io"
FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
_ORDER: Final = ("plural", "singular", "shortNames", "kind", "listKind", "categories")


def condition(definition: Obj, type: str) -> Obj | None:
    conditions = (definition.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == type), None)


def is_true(definition: Obj, type: str) -> bool:
    found = condition(definition, type)
    return found is not None and found["status"] == "True"


def with_condition(status: Obj, type: str, value: str, reason: str, message: str, now: str) -> Obj:
    """The status with this condition; its time changes only with its value."""
    conditions = list(status.get("conditions") or [])
    index = next((i for i, each in enumerate(conditions) if each["type"] == type), None)
    before = conditions[index] if index is not None else None
    since = before["lastTransitionTime"] if before is not None and before["status"] == value else now
    made = {"type": type, "status": value, "lastTransitionTime": since, "reason": reason, "message": message}
    if index is None:
        conditions.append(made)
    elif {**made, "lastTransitionTime": ""} != {**conditions[index], "lastTransitionTime": ""}:
        conditions[index] = made
    return {**status, "conditions": conditions}


def settle(definition: Obj, others: Iterable[Obj], now: str) -> Obj:
    """The status the definition should have, given the other definitions of its group and the time (RFC 3339)."""
    status, spec = definition.get("status") or {}, definition["spec"]
    names, accepted, (reason, message) = _accept(definition, others)
    status = {**status, "acceptedNames": {key: names[key] for key in _ORDER if names.get(key)}}
    status["acceptedNames"].setdefault("plural", "")
    status["acceptedNames"].setdefault("kind", "")
    status = with_condition(status, "NamesAccepted", "True" if accepted else "False", reason, message, now)
    if not is_true({"status": status}, "Established"):
        if accepted:
            status = with_condition(
                status, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now
            )
        else:
            status = with_condition(status, "Established", "False", "NotAccepted", "not all names are accepted", now)
    if is_protected(spec["group"]):
        status = with_condition(status, *_approval(definition), now)
    return status


def _accept(definition: Obj, others: Iterable[Obj]) -> tuple[Obj, bool, tuple[str, str]]:
    """(names it has now, whether those are all it wants, (reason, message) of NamesAccepted)"""
    wanted: Obj = definition["spec"]["names"]
    had: Obj = (definition.get("status") or {}).get("acceptedNames") or {}
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        taken = (other.get("status") or {}).get("acceptedNames") or {}
        resources |= {taken.get("plural", ""), taken.get("singular", ""), *(taken.get("shortNames") or ())}
        kinds |= {taken.get("kind", ""), taken.get("listKind", "")}
    names, conflict = dict(had), ("", "")
    for key, reason, used in (
        ("plural", "PluralConflict", resources),
        ("singular", "SingularConflict", resources),
        ("shortNames", "ShortNamesConflict", resources),
        ("kind", "KindConflict", kinds),
        ("listKind", "ListKindConflict", kinds),
    ):
        problems = _taken(wanted.get(key), had.get(key), used)
        if problems:
            conflict = (reason, problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
        else:
            names[key] = wanted.get(key)
    names["categories"] = wanted.get("categories")
    return names, not conflict[0], conflict if conflict[0] else ("NoConflicts", "no conflicts found")


def _taken(wanted: str | list[str] | None, had: str | list[str] | None, used: set[str]) -> list[str]:
    """Why a name, or some of several, cannot be had."""
    ours = had if isinstance(had, list) else [had]
    asked = wanted if isinstance(wanted, list) else [wanted]
    return [f"{quote(name)} is already in use" for name in asked if name and name not in ours and name in used]


def is_protected(group: str) -> bool:
    """Groups of the Kubernetes community."""
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def approval(definition: Obj) -> tuple[str, str]:
    """(state, value of the annotation): "missing", "invalid", "bypassed" or "approved"."""
    text = (definition["metadata"].get("annotations") or {}).get(APPROVAL, "")
    if not text:
        return "missing", text
    if text.startswith("unapproved"):
        return "bypassed", text
    scheme, found, rest = text.partition("://")
    return ("approved", text) if found and scheme.isalnum() and rest.split("/")[0] else ("invalid", text)


def _approval(definition: Obj) -> tuple[str, str, str, str]:
    kind = "KubernetesAPIApprovalPolicyConformant"
    state, text = approval(definition)
    if state == "approved":
        return kind, "True", "ApprovedAnnotation", f"approved in {text}"
    if state == "bypassed":
        return kind, "False", "UnapprovedAnnotation", f"not approved: {quote(text)}"
    message = f"protected groups must have approval annotation {quote(APPROVAL)}, see https://github.com/kubernetes/"
    return kind, "False", "MissingAnnotation", message + "enhancements/pull/1111"
