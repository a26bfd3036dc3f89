"""Paths into objects as definitions write them: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`.

Two kinds: a plain path (scale, selectable fields) names one field; a JSONPath (printer columns) may have indexes, wildcards
and filters and yields many values. Source: Kubernetes' "JSONPath Support". What cannot be read yields nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeAlias

from wherry.api.integers import capped
from wherry.api.types import Obj

_PART = re.compile(
    r"\.(?P<name>(?:\\.|[^.\[\]\\])+)"
    r"|\[\s*'(?P<quoted>(?:\\.|[^'\\])*)'\s*\]"
    r'|\[\s*"(?P<double>(?:\\.|[^"\\])*)"\s*\]'
    r"|\[\s*(?P<index>-?\d+)\s*\]"
    r"|\[\s*(?P<all>\*)\s*\]"
    r"|\[\s*(?P<start>-?\d*)\s*:\s*(?P<stop>-?\d*)\s*\]"
    r"|\[\?\(\s*@(?P<left>[^=!<>\s]*)\s*(?P<operator>==|!=|>=|<=|>|<)\s*(?P<right>[^)]*?)\s*\)\]"
)
Step: TypeAlias = "tuple[str, Any]"


class PathError(ValueError):
    """It cannot be read."""


@lru_cache(maxsize=1024)  # a few per column of every definition
def parse(path: str) -> tuple[Step, ...]:
    """Steps of a path that begins with a dot or bracket. Raises PathError."""
    steps: list[Step] = []
    position = 0
    text = path if path.startswith((".", "[")) else f".{path}"
    while position < len(text):
        found = _PART.match(text, position)
        if found is None:
            raise PathError(path)
        position = found.end()
        steps.append(_step(found))
    return tuple(steps)


def _step(found: re.Match[str]) -> Step:
    groups = found.groupdict()
    for name in ("name", "quoted", "double"):
        if groups[name] is not None:
            key = re.sub(r"\\(.)", r"\1", groups[name])
            return ("all", None) if name == "name" and key == "*" else ("field", key)
    if groups["index"] is not None:
        return "index", capped(groups["index"])
    if groups["all"] is not None:
        return "all", None
    if groups["operator"] is not None:
        right = groups["right"].strip()
        if right[:1] in "'\"" and right[:1] == right[-1:] and len(right) > 1:
            wanted: Any = right[1:-1]
        else:
            wanted = _literal(right)
        return "filter", (parse(groups["left"]) if groups["left"] else (), groups["operator"], wanted)
    start, stop = groups["start"], groups["stop"]
    return "slice", slice(capped(start) if start else None, capped(stop) if stop else None)


def _literal(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def find_all(obj: Any, path: str) -> list[Any]:
    """Every value at a JSONPath; nothing where it does not lead anywhere or cannot be read."""
    try:
        steps = parse(path)
    except PathError:
        return []
    values = [obj]
    for kind, what in steps:
        values = [found for value in values for found in _take(value, kind, what)]
    return values


def _take(value: Any, kind: str, what: Any) -> Iterable[Any]:
    if kind == "field":
        return [value[what]] if isinstance(value, dict) and what in value else []
    if kind == "all" and isinstance(value, dict):
        return value.values()
    if not isinstance(value, list):
        return []
    if kind == "index":
        return [value[what]] if -len(value) <= what < len(value) else []
    if kind == "filter":
        path, operator, wanted = what
        return [item for item in value if _holds(item, path, operator, wanted)]
    return value[what] if kind == "slice" else value


def _holds(item: Any, path: tuple[Step, ...], operator: str, wanted: Any) -> bool:
    values = [item]
    for kind, what in path:
        values = [found for value in values for found in _take(value, kind, what)]
    for value in values:
        if operator == "==" and value == wanted:
            return True
        if operator == "!=" and value != wanted:
            return True
        numbers = isinstance(value, int | float) and isinstance(wanted, int | float)
        if numbers or (isinstance(value, str) and isinstance(wanted, str)):
            order = (value > wanted) - (value < wanted)
            if {">": order > 0, "<": order < 0, ">=": order >= 0, "<=": order <= 0}.get(operator, False):
                return True
    return False


def names_of(path: str) -> tuple[str, ...]:
    """The fields of a plain path. Raises PathError for anything else."""
    steps = parse(path)
    if any(kind != "field" for kind, _ in steps):
        raise PathError(path)
    return tuple(what for _, what in steps)


def get(obj: Any, path: str) -> Any:
    """The value at a plain path, None where there is none."""
    value = obj
    for name in names_of(path):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def put(obj: Obj, path: str, value: Any) -> None:
    """Set the value at a plain path in a private object; what lies on the way is made."""
    *way, last = names_of(path)
    for name in way:
        below = obj.get(name)
        if not isinstance(below, dict):
            below = obj[name] = {}
        obj = below
    obj[last] = value
