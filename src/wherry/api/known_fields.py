"""An object without the fields a schema does not know: what a decoder of that version makes of what a newer one wrote.

Is not: a check of types or values, and no tidying (`structure.normalise`): what is known stays as it is.
"""

from __future__ import annotations

from typing import Any

from wherry.api.schema import Schema


def known(value: Any, schema: Schema) -> Any:
    """The very same value where nothing is unknown; otherwise new dicts and lists along the way to what went, the rest
    shared."""
    if isinstance(value, dict):
        if schema.fields is not None:
            return _fields(value, schema)
        if schema.values is not None:
            below = schema.values
            return _changed(value, {name: known(child, below) for name, child in value.items()})
    elif isinstance(value, list) and schema.items is not None:
        items = schema.items
        made = [known(child, items) for child in value]
        return value if all(map(_is, made, value)) else made
    return value


def _fields(value: dict[str, Any], schema: Schema) -> dict[str, Any]:
    fields = schema.fields
    assert fields is not None
    made = {}
    for name, child in value.items():
        expected = fields.get(name)
        if expected is not None:
            made[name] = known(child, expected) if isinstance(child, dict | list) else child
        elif schema.preserves:
            made[name] = child
    return _changed(value, made)


def _changed(value: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    return value if len(made) == len(value) and all(map(_is, made.values(), value.values())) else made


def _is(left: Any, right: Any) -> bool:
    return left is right
