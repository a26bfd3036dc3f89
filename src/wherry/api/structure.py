"""Does a value have the shape its schema says? Unknown fields and wrong types, in the words Kubernetes' decoder uses.

    check(obj, schema)       looks only
    normalise(obj, schema)   looks, and makes of a private draft what the decoder would: unknown fields, nulls and empty
                             lists are gone, quantities and times are in canonical form

Neither says whether a value makes sense: that is validation's. What to do about unknown fields (refuse, warn, ignore) is
the caller's decision. Type errors stop at the first, as the decoder does.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from msgspec import Struct, field

from wherry.api import times
from wherry.api.base64_text import problem as base64_problem
from wherry.api.go_types import go_type, kind_of
from wherry.api.quantity import Quantity, QuantityError
from wherry.api.schema import Schema
from wherry.api.types import Obj

UNKNOWN_MAX: Final = 100  # as many as the decoder lists
DEPTH_MAX: Final = 200  # no API object nests deeper; recursive ones (JSONSchemaProps) could
_INT32: Final = (-(2**31), 2**31 - 1)
_INT64: Final = (-(2**63), 2**63 - 1)
_RANGES: Final = {"int32": _INT32, "int64": _INT64, "": _INT64}


class Findings(Struct):
    """`unknown` holds paths of fields the schema has not, in order; `error` the first type error or ""."""

    unknown: list[str] = field(default_factory=list)
    error: str = ""

    def strict_messages(self) -> list[str]:
        """What fieldValidation warns of or refuses: `unknown field "spec.foo"`."""
        return [f'unknown field "{path}"' for path in self.unknown]


def check(obj: Any, schema: Schema) -> Findings:
    """Changes nothing."""
    return _Walk(tidy=False).run(obj, schema)


def normalise(obj: Obj, schema: Schema) -> Findings:
    """Changes `obj` in place; after an error it is half done and good for nothing."""
    return _Walk(tidy=True).run(obj, schema)


def strict_warnings(duplicates: list[str], findings: Findings) -> list[str]:
    """One message each; duplicates inside an unknown field were never looked at."""
    seen = [path for path in duplicates if not any(_inside(path, unknown) for unknown in findings.unknown)]
    return [f'duplicate field "{path}"' for path in seen] + findings.strict_messages()


def _inside(path: str, parent: str) -> bool:
    return path.startswith(parent) and path[len(parent) :][:1] in (".", "[")


class _DecodeError(Exception):
    """Carries the decoder's message out of the recursion."""


class _Walk:
    """One pass over one object. `_path` has fields, [indexes] and .keys; `_struct` is the type whose field is being read."""

    def __init__(self, tidy: bool) -> None:
        self._tidy = tidy
        self._path: list[str] = []
        self._struct = ""
        self._findings = Findings()

    def run(self, obj: Any, schema: Schema) -> Findings:
        try:
            self._value(obj, schema)
        except _DecodeError as error:
            self._findings.error = str(error)
        return self._findings

    def _value(self, value: Any, schema: Schema) -> Any:
        """The value, or what it becomes when tidied."""
        match schema.type:
            case "any":
                return value
            case "object":
                return self._object(value, schema)
            case "array":
                return self._array(value, schema)
            case "string":
                return self._string(value, schema)
            case "quantity":
                return self._quantity(value)
            case "int-or-string":
                return value if isinstance(value, str) else self._integer(value, schema)
            case "integer":
                return self._integer(value, schema)
            case "boolean":
                return value if isinstance(value, bool) else self._refuse(value, schema)
            case _:
                return value if isinstance(value, int | float) and value is not True else self._refuse(value, schema)

    def _object(self, value: Any, schema: Schema) -> Any:
        if not isinstance(value, dict):
            self._refuse(value, schema)
        if len(self._path) > DEPTH_MAX:
            raise _DecodeError("json: exceeded max depth")
        if schema.fields is not None:
            outer = self._struct
            self._struct = schema.ref.rpartition(".")[2] or outer
            self._fields(value, schema)
            self._struct = outer
        elif schema.values is not None:
            self._map(value, schema.values)
        return value

    def _fields(self, value: Obj, schema: Schema) -> None:
        fields = schema.fields
        assert fields is not None
        gone: list[str] = []
        for name, child in value.items():
            expected = fields.get(name)
            if expected is None:
                self._unknown(name)
                gone.append(name)
            elif child is None:
                gone.append(name)
            elif type(child) is str and expected.type == "string" and not expected.format:
                continue
            else:
                self._path.append(name)
                made = self._value(child, expected)
                self._path.pop()
                if self._tidy and made is not child:
                    value[name] = made
                if not made and _is_omitted(made, expected) and name not in schema.required:
                    gone.append(name)
        if self._tidy:
            for name in gone:
                del value[name]

    def _map(self, value: Obj, values: Schema) -> None:
        amounts = values.type == "quantity"
        for name, child in value.items():
            if child is None:
                made = _zero(values)
            elif type(child) is str and values.type == "string" and not values.format:
                continue
            else:
                self._path.append(f".{name}")
                made = self._value(child, values)
                self._path.pop()
                if amounts and self._tidy:  # a ResourceList keeps nothing finer than a thousandth
                    made = str(Quantity.parse(made).round_up_milli())
            if self._tidy and made is not child:
                value[name] = made

    def _array(self, value: Any, schema: Schema) -> Any:
        if not isinstance(value, list):
            self._refuse(value, schema)
        items = schema.items
        if items is None:
            return value
        for index, child in enumerate(value):
            if child is None:
                made = _zero(items)
            else:
                self._path.append(f"[{index}]")
                made = self._value(child, items)
                self._path.pop()
            if self._tidy and made is not child:
                value[index] = made
        return value

    def _string(self, value: Any, schema: Schema) -> Any:
        if not isinstance(value, str):
            self._refuse(value, schema)
        if schema.format == "date-time":
            try:
                return times.canonical(value, micro=schema.ref.endswith("MicroTime"))
            except ValueError as error:
                raise _DecodeError(str(error)) from None
        if schema.format == "byte":
            return self._base64(value)
        return value

    def _base64(self, value: str) -> str:
        try:
            data = base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
        except (binascii.Error, ValueError):
            raise _DecodeError(base64_problem(value)) from None
        return base64.b64encode(data).decode() if self._tidy else value

    def _quantity(self, value: Any) -> str:
        try:
            return str(Quantity.parse(value))
        except QuantityError as error:
            raise _DecodeError(str(error)) from None

    def _integer(self, value: Any, schema: Schema) -> Any:
        if type(value) is not int:
            self._refuse(value, schema)
        (low, high) = _RANGES["int32" if schema.type == "int-or-string" else schema.format]
        if not low <= value <= high:
            self._refuse(value, schema)
        return value

    def _refuse(self, value: Any, schema: Schema) -> Any:
        """json: cannot unmarshal string into Go struct field PodSpec.spec.replicas of type int32"""
        path = ".".join(part for part in self._path if part[0] not in "[.")
        where = f"Go struct field {self._struct}.{path}" if path else "Go value"
        wanted = go_type(schema, self._struct, self._path[-1] if self._path else "")
        raise _DecodeError(f"json: cannot unmarshal {kind_of(value, schema)} into {where} of type {wanted}")

    def _unknown(self, name: str) -> None:
        if len(self._findings.unknown) < UNKNOWN_MAX:
            text = ""
            for part in [*self._path, name]:
                text += part if part.startswith(("[", ".")) or not text else f".{part}"
            self._findings.unknown.append(text)


def _is_omitted(made: Any, schema: Schema) -> bool:
    """Empty lists and maps are not written out again."""
    return schema.type == "array" or (schema.type == "object" and schema.values is not None)


def _zero(schema: Schema) -> Any:
    """What a null inside a list or map is read as."""
    match schema.type:
        case "string":
            return ""
        case "object" if schema.fields is not None:
            return {}
        case "integer" | "number" | "int-or-string":
            return 0
        case "boolean":
            return False
        case "quantity":
            return "0"
        case _:
            return None
