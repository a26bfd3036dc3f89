"""What all rows are made of: columns, ages, durations, lists cut short.

The forms (`<none>`, `5m10s`, `a,b + 2 more...`) are those kubectl users know from Kubernetes' own tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from wherry.aio.clock import parse_rfc3339
from wherry.api.labels import Selector, SelectorError
from wherry.api.types import Obj

NONE: Final = "<none>"
UNSET: Final = "<unset>"
UNKNOWN: Final = "<unknown>"
LISTED_MAX: Final = 3  # how many endpoints, ports or hosts a cell names before "+ N more..."

Cells: TypeAlias = Callable[[Obj, float], list[Any]]
"""One object and the time (Unix seconds) to the cells of its row, one per column."""


class Column(NamedTuple):
    """`priority` 0 is always shown, 1 only in wide output."""

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0


class Printer(NamedTuple):
    """How one kind is shown."""

    columns: tuple[Column, ...]
    cells: Cells
    conditions: Callable[[Obj], list[Obj]] | None = None


_TYPES: Final = {"i": "integer", "b": "boolean", "d": "date"}


def columns(text: str) -> tuple[Column, ...]:
    """`Name|Desired:i|+Selector`: `:i` integer, `:b` boolean, `:d` date, `:n` a name; `+` only in wide output."""
    found = []
    for part in text.split("|"):
        (name, _, mark) = part.removeprefix("+").partition(":")
        is_name = mark == "n" or name == "Name"
        priority = 1 if part.startswith("+") else 0
        found.append(Column(name, _TYPES.get(mark, "string"), "name" if is_name else "", priority))
    return tuple(found)


def human_duration(seconds: float) -> str:
    """`45s`, `5m10s`, `3h`, `2d4h`, `1y20d`: at most two units, the finer the younger."""
    whole = int(seconds)
    if whole < 0:
        return "<invalid>" if whole < -1 else "0s"
    (minutes, hours, days) = (whole // 60, whole // 3600, whole // 86400)
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def since(timestamp: str | None, now: float) -> str:
    """How long ago an RFC 3339 time was; `<unknown>` for none."""
    if not timestamp:
        return UNKNOWN
    try:
        return human_duration(math.floor(now - parse_rfc3339(timestamp)))
    except ValueError:
        return "<invalid>"


def age(obj: Obj, now: float) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def name(obj: Obj) -> str:
    text: str = obj["metadata"].get("name", "")
    return text


def spec(obj: Obj) -> Obj:
    return obj.get("spec") or {}


def status(obj: Obj) -> Obj:
    return obj.get("status") or {}


def or_none(text: Any) -> str:
    """The text, `<none>` for nothing."""
    return str(text) if text else NONE


def or_unset(value: Any) -> str:
    """`<unset>` for what is not there; an empty text is something."""
    return UNSET if value is None else str(value)


def joined(items: Iterable[str], otherwise: str = NONE) -> str:
    return ",".join(items) or otherwise


def first_of(items: Sequence[str], otherwise: str, limit: int = LISTED_MAX) -> str:
    """`a,b,c + 2 more...`"""
    if not items:
        return otherwise
    shown = ",".join(items[:limit])
    return shown if len(items) <= limit else f"{shown} + {len(items) - limit} more..."


def labels_text(labels: Mapping[str, str] | None) -> str:
    """`app=cart,tier=web`, sorted."""
    return joined(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector in text form."""
    if selector is None:
        return NONE
    try:
        return str(Selector.from_object(selector)) or NONE
    except SelectorError:
        return "<error>"


def containers(pod_spec: Obj) -> tuple[str, str]:
    """(names, images) of a pod template's containers."""
    found = pod_spec.get("containers") or []
    return ",".join(c.get("name", "") for c in found), ",".join(c.get("image", "") for c in found)


def template(obj: Obj) -> Obj:
    """The pod spec of a workload's template."""
    return (spec(obj).get("template") or {}).get("spec") or {}


def condition(obj: Obj, type: str) -> Obj | None:
    return next((c for c in status(obj).get("conditions") or [] if c.get("type") == type), None)


def boolean(value: bool | None) -> str:
    """`True` or `False` as text, `<unset>` for neither."""
    return UNSET if value is None else str(value)
