"""Tables: what `kubectl get` prints, made on the server so that every client shows the same columns.

Columns and rows of a kind are in apiserver.printers; a kind without printer shows its name and age. Pure: objects in, a
meta.k8s.io Table out; objects are not changed and may be shared with the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Final, TypeAlias

from wherry.api.scheme import Resource, Scheme
from wherry.api.types import GVR, Obj
from wherry.apiserver.printers import core, network, policy, storage, workloads
from wherry.apiserver.printers.form import Column, Printer

API_VERSION: Final = "meta.k8s.io/v1"
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
PRINTERS: Final[Mapping[str, Printer]] = {
    **core.PRINTERS,
    **workloads.PRINTERS,
    **network.PRINTERS,
    **storage.PRINTERS,
    **policy.PRINTERS,
}
"""`group/resource` to its printer, the same for all versions of a group."""

# Columns whose meaning no field's description tells.
_TOLD: Final = {("/namespaces", "Status"): "The status of the namespace"}


Found: TypeAlias = tuple[Printer, Mapping[str, str]]
Extra: TypeAlias = Callable[[GVR], Found | None]
"""A resource that is not built in -> its printer, and descriptions by column."""


def _no_extra(gvr: GVR) -> Found | None:
    return None


class Tables:
    """The tables of one server; `extra` finds printers, and descriptions of columns, of what is not built in."""

    def __init__(self, scheme: Scheme, extra: Extra = _no_extra) -> None:
        self._scheme = scheme
        self._extra = extra

    def table(
        self,
        resource: Resource,
        objects: Iterable[Obj],
        metadata: Obj,
        include_object: str,
        now: float,
        columns: bool = True,
    ) -> Obj:
        """`metadata` is the list's (resourceVersion, continue, remainingItemCount); `now` Unix seconds.

        `include_object` is "Metadata", "Object" or "None"; a watch leaves the `columns` out after its first event.
        """
        extra = None if _key(resource) in PRINTERS else self._extra(resource.gvr)
        printer = PRINTERS.get(_key(resource), core.NAMED) if extra is None else extra[0]
        return {
            "kind": "Table",
            "apiVersion": API_VERSION,
            "metadata": metadata,
            "columnDefinitions": self._columns(resource, printer, extra) if columns else None,
            "rows": [_row(printer, obj, include_object, now) for obj in objects],
        }

    def _columns(self, resource: Resource, printer: Printer, extra: Found | None) -> list[Obj]:
        if extra is None:
            return _described_columns(self._scheme, resource, printer)
        fields = _descriptions(self._scheme, resource)
        told = extra[1]
        return [
            _definition(column, told[column.name] if column.name in told else fields.get(_plain(column.name), ""))
            for column in printer.columns
        ]


def _key(resource: Resource) -> str:
    return f"{resource.group}/{resource.resource}"


def _row(printer: Printer, obj: Obj, include_object: str, now: float) -> Obj:
    row: Obj = {"cells": printer.cells(obj, now)}
    if printer.conditions is not None and (conditions := printer.conditions(obj)):
        row["conditions"] = conditions
    match include_object:
        case "Object":
            row["object"] = obj
        case "None":
            row["object"] = None
        case _:
            row["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": API_VERSION,
                "metadata": obj["metadata"],
            }
    return row


def _definition(column: Column, description: str) -> Obj:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": description,
        "priority": column.priority,
    }


@cache  # one entry per kind; a Scheme lives as long as the process
def _described_columns(scheme: Scheme, resource: Resource, printer: Printer) -> list[Obj]:
    fields = _descriptions(scheme, resource)
    return [
        _definition(column, _TOLD.get((_key(resource), column.name)) or fields.get(_plain(column.name), ""))
        for column in printer.columns
    ]


def _descriptions(scheme: Scheme, resource: Resource) -> dict[str, str]:
    """What the published definitions say of the fields that columns are named after."""
    prose = scheme.prose.descriptions
    meta = prose.get(_META, ("", {}))[1]
    found = {"name": meta.get("name", ""), "age": meta.get("creationTimestamp", "")}
    found["createdat"] = found["age"]
    for name in (resource.definition, f"{resource.definition}Spec", f"{resource.definition}Status"):
        for field, text in prose.get(name, ("", {}))[1].items():
            found.setdefault(_plain(field), text)
    return found


def _plain(name: str) -> str:
    return name.replace(" ", "").replace("-", "").lower()
