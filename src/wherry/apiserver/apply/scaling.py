"""Owners of an object's replicas, as its scale subresource sees them, and back.

A Scale is another kind: who owns its `spec.replicas` owns the replicas of the object, by whatever path that keeps them.
Both ways are needed around one write of a Scale: out of the object's entries, and into them again.
"""

from __future__ import annotations

from typing import Final

from wherry.api.types import Obj
from wherry.apiserver.apply.entries import Entries, settled, with_fields
from wherry.apiserver.apply.field_set import has, minus, of_path

SCALE_VERSION: Final = "autoscaling/v1"
REPLICAS: Final = ("f:spec", "f:replicas")
"""In a Scale, and in every built-in kind that has one."""
Path = tuple[str, ...]


def field_path(text: str) -> Path:
    """`.spec.replicas`, as a definition says it, as a path."""
    return tuple(f"f:{name}" for name in text.strip(".").split("."))


def _identity(entry: Obj) -> tuple[str, str, str]:
    return entry["manager"], entry["operation"], entry.get("subresource", "")


def to_scale(entries: Entries, path: Path = REPLICAS) -> list[Obj]:
    """The entries of the Scale of an object that has `entries` and keeps its replicas at `path`."""
    return [
        {**entry, "apiVersion": SCALE_VERSION, "fieldsV1": of_path(REPLICAS)}
        for entry in entries
        if has(entry["fieldsV1"], path)
    ]


def to_object(entries: Entries, scale: Entries, api_version: str, path: Path = REPLICAS) -> list[Obj]:
    """The object's entries once its Scale has those of `scale`: who owns replicas no more loses them, who owns them now
    gets an entry in `api_version`."""
    owners = {_identity(entry): entry for entry in scale if has(entry["fieldsV1"], REPLICAS)}
    result: list[Obj] = []
    for entry in entries:
        if not has(entry["fieldsV1"], path) or owners.pop(_identity(entry), None) is not None:
            result.append(entry)
            continue
        fields = minus(entry["fieldsV1"], of_path(path))
        if fields:
            result.append(with_fields(entry, fields))
    for entry in owners.values():
        made = {key: value for key, value in entry.items() if key != "time"}
        result.append({**made, "apiVersion": api_version, "fieldsV1": of_path(path)})
    return settled(result)
