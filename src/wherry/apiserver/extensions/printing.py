"""The table of a custom resource: its name, then the columns its definition asks for, or its age."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wherry.api import json
from wherry.api.types import Obj
from wherry.apiserver.extensions import paths
from wherry.apiserver.printers.form import Column, Printer, name, since

_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def printer(version: Obj) -> tuple[Printer, Mapping[str, str]]:
    """The printer of one entry of spec.versions, and descriptions by column."""
    wanted: list[Obj] = version.get("additionalPrinterColumns") or [_AGE]
    columns = [Column("Name", "string", "name")]
    described: dict[str, str] = {}
    for each in wanted:
        columns.append(Column(each["name"], each["type"], each.get("format", ""), each.get("priority", 0)))
        path = each["jsonPath"]
        if each.get("description"):
            described[each["name"]] = each["description"]
        elif each is not _AGE:
            described[each["name"]] = f"Custom resource definition column (in JSONPath format): {path}"

    def cells(obj: Obj, now: float) -> list[Any]:
        return [name(obj), *(_cell(obj, each["type"], each["jsonPath"], now) for each in wanted)]

    return Printer(tuple(columns), cells), described


def _cell(obj: Obj, type: str, path: str, now: float) -> Any:
    """The first value at the path, if it is of the column's type; null for none."""
    found = paths.find_all(obj, path)
    if not found or found[0] is None:
        return None
    value = found[0]
    match type:
        case "string":
            return _text(value)
        case "date":
            return since(value, now) if isinstance(value, str) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "integer" if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
        case "number" if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    return None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.encode(value).decode() if isinstance(value, dict | list) else str(value)
