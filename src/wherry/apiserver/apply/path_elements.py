"""One step of a path into an object, as fieldsV1 writes it and as people read it.

    f:NAME        a field or a map's key              .NAME
    k:{"a":1}     the list element with these keys    [a=1]
    v:"x"         this element of a set               [="x"]
    i:3           the element at an index             [3]
    .             the path so far itself

Written by structured-merge-diff's "fieldpath" serialization; keys of `k:` are sorted and without spaces.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

SELF: Final = "."


class NoElement(ValueError):
    """A list element without a name; the message says why."""


PREFIXES: Final = ("f:", "k:", "v:", "i:")


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=8192)
def _keyed(names: tuple[str, ...], values: tuple[Any, ...], _types: tuple[Any, ...]) -> str:
    return "k:" + _text(dict(sorted(zip(names, values, strict=True))))


def keyed(names: tuple[str, ...], values: tuple[Any, ...]) -> str:
    """The element of a list whose `names` have these (scalar) values."""
    return _keyed(names, values, tuple(map(type, values)))


@lru_cache(maxsize=8192)
def _member(value: Any, _type: Any) -> str:
    return "v:" + _text(value)


def member(value: Any) -> str:
    """The element of a set."""
    kind: Any = type(value)
    return _member(value, kind)


def shown(element: str) -> str:
    """As errors show it. `element` is valid."""
    kind, rest = element[:2], element[2:]
    if kind == "f:":
        return f".{rest}"
    if kind == "k:":
        return "[" + ",".join(f"{name}={_text(value)}" for name, value in json.loads(rest).items()) + "]"
    return f"[={rest}]" if kind == "v:" else f"[{rest}]"


def shown_path(path: Sequence[str]) -> str:
    """`.spec.ports[port=80,protocol="TCP"].name`"""
    return "".join(map(shown, path))


def is_valid(element: str) -> bool:
    """Whether somebody else's fieldsV1 may have this key."""
    if element == SELF or element.startswith("f:"):
        return True
    if element[:2] not in PREFIXES:
        return False
    try:
        value = json.loads(element[2:])
    except (ValueError, RecursionError):
        return False
    if element.startswith("k:"):
        return isinstance(value, dict) and bool(value)
    return type(value) is int if element.startswith("i:") else True
