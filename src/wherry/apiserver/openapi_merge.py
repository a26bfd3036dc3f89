"""Somebody else's OpenAPI 2 document as a part of ours, as Kubernetes' aggregator joins them. Pure.

Of the other document only the paths below one prefix are taken, and the definitions these refer to. A definition of a name that
means something else with us gets a name of its own (`NAME_v2`), and what refers to it is written anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from wherry.api.types import Obj

_REFERENCE = "#/definitions/"
DEFINITIONS_MAX = 10_000
"""Kubernetes itself has some 800."""


def merge(ours: Obj, theirs: Any, prefix: str) -> None:
    """Add to `ours` what `theirs` says of the paths below `prefix` ("/apis/GROUP/VERSION"). A document that makes no sense
    adds nothing."""
    paths, definitions = _dict(theirs, "paths"), _dict(theirs, "definitions")
    taken = {
        path: item
        for path, item in paths.items()
        if isinstance(item, dict) and (path == prefix or path.startswith(f"{prefix}/")) and path not in ours["paths"]
    }
    if not taken or len(definitions) > DEFINITIONS_MAX:
        return
    needed = _reachable(taken, definitions)
    names: dict[str, str] = {}
    for name in needed:
        known = ours["definitions"].get(name)
        if known is not None and known != definitions[name]:
            names[name] = _free_name(name, ours["definitions"], needed)
    ours["paths"].update((path, _renamed(item, names)) for path, item in taken.items())
    for name in needed:
        ours["definitions"].setdefault(names.get(name, name), _renamed(definitions[name], names))


def _dict(document: Any, key: str) -> Obj:
    found = document.get(key) if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}


def _reachable(paths: Obj, definitions: Obj) -> list[str]:
    """The definitions that paths refer to, and those that these do."""
    found: dict[str, None] = {}
    waiting: list[Any] = [paths]
    while waiting:
        for name in _references(waiting.pop()):
            if name in definitions and name not in found:
                found[name] = None
                waiting.append(definitions[name])
    return list(found)


def _references(value: Any) -> Iterator[str]:
    """Names of definitions below a value; without recursion, since others wrote it."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            reference = each.get("$ref")
            if isinstance(reference, str) and reference.startswith(_REFERENCE):
                yield reference[len(_REFERENCE) :]
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _free_name(name: str, ours: Obj, theirs: Iterable[str]) -> str:
    taken = {*ours, *theirs}
    return next(each for number in range(2, len(taken) + 3) if (each := f"{name}_v{number}") not in taken)


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if not names:
        return value
    if isinstance(value, dict):
        return {key: _reference(item, names) if key == "$ref" else _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(each, names) for each in value]
    return value


def _reference(value: Any, names: dict[str, str]) -> Any:
    if not isinstance(value, str) or not value.startswith(_REFERENCE):
        return value
    name = value[len(_REFERENCE) :]
    return _REFERENCE + names.get(name, name)
