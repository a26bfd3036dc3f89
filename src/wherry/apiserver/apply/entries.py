"""`metadata.managedFields`: a list of entries, one per manager, way of writing, version and subresource.

An entry is kept as it is on the wire, its `fieldsV1` being the field set itself (`field_set.py`); entries are shared and
never changed. Who has nothing left has no entry. Order: appliers first, then the oldest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from wherry.api.types import Obj
from wherry.apiserver.apply.field_set import EMPTY, FieldSet, is_well_formed, shared, union

APPLY: Final = "Apply"
UPDATE: Final = "Update"
FIELDS_V1: Final = "FieldsV1"
UPDATERS_MAX: Final = 10
"""Entries of operation Update that an object keeps; the oldest are put together beyond that, as Kubernetes does."""
ANCIENT: Final = "ancient-changes"
UNKNOWN: Final = "unknown"
Entries: TypeAlias = Sequence[Obj]


class Writer(Struct, frozen=True):
    """Whose entry: `api_version` is the version the writer spoke."""

    manager: str
    operation: Literal["Apply", "Update"]
    api_version: str
    subresource: str = ""

    def is_of(self, entry: Obj) -> bool:
        """An applier keeps its entry when it changes to another version, an updater gets another."""
        return (
            entry["manager"] == self.manager
            and entry["operation"] == self.operation
            and entry.get("subresource", "") == self.subresource
            and (self.operation == APPLY or entry["apiVersion"] == self.api_version)
        )

    def entry(self, fields: FieldSet, time: str | None) -> Obj:
        made: Obj = {"manager": self.manager, "operation": self.operation, "apiVersion": self.api_version}
        if time is not None:
            made["time"] = time
        made["fieldsType"] = FIELDS_V1
        made["fieldsV1"] = shared(fields)
        if self.subresource:
            made["subresource"] = self.subresource
        return made


def entries_of(obj: Obj | None) -> Entries:
    """Of an object, none of None."""
    return (obj["metadata"].get("managedFields") or []) if obj is not None else []


def put(metadata: Obj, entries: Entries) -> None:
    """Set metadata.managedFields, in place."""
    if entries:
        metadata["managedFields"] = entries
    else:
        metadata.pop("managedFields", None)


def with_fields(entry: Obj, fields: FieldSet) -> Obj:
    """The same entry with other fields."""
    return {**entry, "fieldsV1": shared(fields)}


def settled(entries: list[Obj]) -> list[Obj]:
    """In order, and not more of them than may be."""
    if len(entries) > UPDATERS_MAX:
        entries = _capped(entries)
    entries.sort(key=_place)
    return entries


def _place(entry: Obj) -> tuple[str, str, str, str, str]:
    return (
        entry["operation"],
        entry.get("time") or "",
        entry["manager"],
        entry["apiVersion"],
        entry.get("subresource", ""),
    )


def _capped(entries: list[Obj]) -> list[Obj]:
    """The oldest updaters of one version become one, until few enough are left."""
    updaters = sorted((each for each in entries if each["operation"] == UPDATE), key=_place)
    rest = [each for each in entries if each["operation"] != UPDATE]
    count = len(updaters)
    first: dict[str, Obj] = {}
    buckets: dict[str, Obj] = {}
    kept: list[Obj] = []
    for entry in updaters:
        version = entry["apiVersion"]
        if count <= UPDATERS_MAX:
            kept.append(entry)
        elif version not in first:
            first[version] = entry
            kept.append(entry)
        else:
            before = buckets.get(version) or first[version]
            fields = union(entry["fieldsV1"], before["fieldsV1"])
            bucket = Writer(ANCIENT, UPDATE, version).entry(fields, entry.get("time"))
            kept = [bucket if each is before else each for each in kept]
            buckets[version] = bucket
            count -= 1
    return rest + kept


FORGET: Final[list[Obj]] = [{}]
"""As managedFields of a write: nobody owns anything any more. `[]` says so too, but does not survive decoding."""


def is_forgotten(obj: Obj) -> bool:
    """Whether a body, not decoded yet, says `[]`."""
    metadata = obj.get("metadata")
    return isinstance(metadata, dict) and metadata.get("managedFields") == []


def problem(sent: Any) -> str:
    """Why somebody's managedFields cannot be used, "" when they can."""
    for index, entry in enumerate(sent):
        if entry.get("operation") not in (APPLY, UPDATE):
            return "operation must be `Apply` or `Update`"
        if not entry.get("apiVersion"):
            return "apiVersion must not be empty"
        kind = entry.get("fieldsType", "")
        if kind != FIELDS_V1:
            return (
                f'invalid fieldsType "{kind}" in managed fields entry {index}'
                if kind
                else f"missing fieldsType in managed fields entry {index}"
            )
        if not is_well_formed(entry.get("fieldsV1") or EMPTY):
            return f"invalid fieldsV1 in managed fields entry {index}"
    return ""


def taken(sent: Any, stored: Entries) -> Entries:
    """The entries a write starts from: those it brought, if it brought any that can be used, else the stored ones."""
    if sent is None or sent is stored or sent == stored:
        return stored
    if sent == FORGET:
        return []
    if not isinstance(sent, list) or problem(sent):
        return stored
    return [_cleaned(entry) for entry in sent if entry.get("fieldsV1")] or stored


def _cleaned(entry: Obj) -> Obj:
    writer = Writer(
        entry.get("manager") or UNKNOWN, entry["operation"], entry["apiVersion"], entry.get("subresource") or ""
    )
    return writer.entry(entry["fieldsV1"], entry.get("time"))


def same_but_times(left: Entries, right: Entries) -> bool:
    """Whether two lists differ in nothing but when their entries were written."""
    if len(left) != len(right):
        return False

    def bare(entries: Entries) -> list[Obj]:
        plain = [{key: value for key, value in entry.items() if key != "time"} for entry in entries]
        return sorted(plain, key=_place)

    return bare(left) == bare(right)
