"""When two pod templates are the same, and the hash that names a ReplicaSet after its template.

The hash is deterministic: the same template and collision count give the same name after every restart. It is not the
number real Kubernetes computes (that one hashes the in-memory form of Go structs); nothing may depend on its value.
"""

from __future__ import annotations

from typing import Any

from wherry.api.types import Obj
from wherry.reconcile.template_hash import hash_of

HASH_LABEL = "pod-template-hash"


def same_template(one: Obj, other: Obj) -> bool:
    """Equal but for the hash label."""
    return bool(_plain(one) == _plain(other))


def template_hash(template: Obj, collisions: int | None) -> str:
    """FNV-1a (32 bits) of the canonical template and the collision count, in the safe alphabet: 1-10 characters."""
    return hash_of(_plain(template), collisions)


def with_hash(template: Obj, value: str) -> Obj:
    """A copy of the template that carries the hash label."""
    metadata = template.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), HASH_LABEL: value}
    return {**template, "metadata": {**metadata, "labels": labels}}


def _plain(template: Obj) -> Any:
    """The template without the hash label and without nulls (`creationTimestamp: null` as kubectl sends it)."""
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL}
    metadata["labels"] = labels
    return _without_nulls({**template, "metadata": metadata})


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
