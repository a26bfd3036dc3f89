"""Conditions of a status, where Kubernetes looks at them."""

from __future__ import annotations

import re

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.validation import field as f

_STATES = ("False", "True", "Unknown")
_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_BAD_REASON = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or "
    "'_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or "
    f"'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '{_REASON.pattern}')"
)
REASON_MAX, MESSAGE_MAX = 1024, 32 * 1024


def conditions(values: list[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for i, each in enumerate(values):
        kind = each.get("type") or ""
        if kind in seen:
            causes.append(f.duplicate(f"{path}[{i}].type", kind))
        seen.add(kind)
        causes += _condition(each, f"{path}[{i}]")
    return causes


def _condition(value: Obj, path: str) -> list[Cause]:
    causes = f.qualified(value.get("type") or "", f"{path}.type")
    state = value.get("status") or ""
    if state not in _STATES:
        causes.append(f.not_supported(f"{path}.status", state, _STATES))
    if (value.get("observedGeneration") or 0) < 0:
        detail = "must be greater than or equal to zero"
        causes.append(f.invalid(f"{path}.observedGeneration", value["observedGeneration"], detail))
    if not value.get("lastTransitionTime"):
        causes.append(f.required(f"{path}.lastTransitionTime", "must be set"))
    reason = value.get("reason") or ""
    if not reason:
        causes.append(f.required(f"{path}.reason", "must be set"))
    elif not _REASON.fullmatch(reason):
        causes.append(f.invalid(f"{path}.reason", reason, _BAD_REASON))
    if len(reason.encode()) > REASON_MAX:
        causes.append(f.too_long(f"{path}.reason", REASON_MAX))
    if len((value.get("message") or "").encode()) > MESSAGE_MAX:
        causes.append(f.too_long(f"{path}.message", MESSAGE_MAX))
    return causes
