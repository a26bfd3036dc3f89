"""What `wait_for` waits for, as a test: the words of `kubectl wait --for`, or a function of the object. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from wherry.api.types import Obj
from wherry.testing.verbs import is_true

Condition: TypeAlias = str | Callable[[Obj], Any]
"""`Available`, `Ready=False`, `condition=Complete`, `create`, `delete`, `jsonpath={.status.phase}=Running`, or a function."""
_JSONPATH = re.compile(r"jsonpath='?\{?((?:\.[A-Za-z0-9_-]+|\[\d+\])+)\}?'?(?:==?(.*))?")
_CONDITION = re.compile(r"(?:condition=)?([A-Za-z][A-Za-z0-9./_-]*)(?:==?(\w+))?")
_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]")


def checker(condition: Condition) -> Callable[[Obj | None], Any]:
    """A test of the object, None standing for one that is not there. Raises ValueError."""
    if callable(condition):
        return lambda obj: obj is not None and condition(obj)
    if condition in ("delete", "deleted"):
        return lambda obj: obj is None
    if condition in ("create", "created", "exists"):
        return lambda obj: obj is not None
    if found := _JSONPATH.fullmatch(condition):
        path, wanted = found[1], found[2]
        return lambda obj: obj is not None and _says(_at(obj, path), wanted)
    if found := _CONDITION.fullmatch(condition):
        name, status = found[1], (found[2] or "True").capitalize()
        return lambda obj: obj is not None and is_true(obj, name, status)
    raise ValueError(
        f"{condition!r}: wait for a condition's name (Available, Ready=False), create, delete, "
        "jsonpath={.status.phase}=Running or a function of the object"
    )


def _says(value: Any, wanted: str | None) -> bool:
    if wanted is None:
        return value is not None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return value is not None and text == wanted


def _at(value: Any, path: str) -> Any:
    for key, index in _STEP.findall(path):
        if key:
            value = value.get(key) if isinstance(value, dict) else None
        else:
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
    return value
