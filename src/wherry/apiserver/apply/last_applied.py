"""`kubectl apply` and `kubectl apply --server-side` of the same objects, one after the other.

The annotation in which kubectl keeps what it applied last says which fields were its own. So an apply by the manager
"kubectl" takes those over without a conflict, and keeps the annotation up to date for a kubectl that goes back.
"""

from __future__ import annotations

from typing import Any, Final

from wherry.api import json
from wherry.api.types import Obj
from wherry.apiserver.apply.configuration import fields_of
from wherry.apiserver.apply.conflicts import Conflict, Conflicts
from wherry.apiserver.apply.differences import differences
from wherry.apiserver.apply.field_set import EMPTY, FieldSet, minus
from wherry.apiserver.apply.views import View

MANAGER: Final = "kubectl"
ANNOTATION: Final = "kubectl.kubernetes.io/last-applied-configuration"
ANNOTATIONS_BYTES_MAX: Final = 256 * 1024


def _annotation(obj: Obj) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    return str(annotations.get(ANNOTATION) or "")


def rightful(conflicts: Conflicts, live: Obj, version: str, view: View) -> Conflicts | None:
    """The conflicts that are left when what the annotation claims is kubectl's anyway; None when none are."""
    claimed = _claimed(live, version, view)
    found = [Conflict(entry, minus(fields, claimed)) for entry, fields in conflicts.found]
    left = [each for each in found if each.fields]
    return Conflicts(left) if left else None


def _claimed(live: Obj, version: str, view: View) -> FieldSet:
    """What the annotation has with the value that is there."""
    try:
        last = json.decode(_annotation(live) or "null")
    except ValueError:
        return EMPTY
    if not isinstance(last, dict) or last.get("apiVersion") != version:
        return EMPTY
    changed, removed = differences(last, live, view.tracked)
    return minus(minus(fields_of(last, view.tracked), changed), removed)


def kept_up(obj: Obj, configuration: Obj) -> Obj:
    """The object with the annotation as kubectl would write it now, if it has one."""
    if not _annotation(obj):
        return obj
    metadata = obj["metadata"]
    annotations: dict[str, Any] = {**metadata["annotations"], ANNOTATION: _text(configuration)}
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > ANNOTATIONS_BYTES_MAX:
        del annotations[ANNOTATION]
    return {**obj, "metadata": {**metadata, "annotations": annotations}}


def _text(configuration: Obj) -> str:
    said = configuration.get("metadata") or {}
    metadata = {key: value for key, value in said.items() if key != "managedFields"}
    if isinstance(metadata.get("annotations"), dict):
        metadata["annotations"] = {key: value for key, value in metadata["annotations"].items() if key != ANNOTATION}
    return json.encode(_sorted({**configuration, "metadata": metadata})).decode() + "\n"


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
