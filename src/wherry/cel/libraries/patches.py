"""What a MutatingAdmissionPolicy constructs: `JSONPatch{op: ..., path: ..., value: ...}` and `Object{spec: Object.spec{...}}`.

`object_type` is the Environment's resolver for these names, `plain` turns what was constructed into JSON. Source: the documents
"Mutating Admission Policy" and "jsonpatch CEL library".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from wherry.cel.errors import Failure
from wherry.cel.functions import Library, Overload, function
from wherry.cel.libraries.addresses import Address, Range
from wherry.cel.libraries.quantities import Amount
from wherry.cel.standard import traversal
from wherry.cel.times import Duration, Timestamp
from wherry.cel.types import DYN, STRING, Field, ObjectType
from wherry.cel.values import LISTS, Struct, Uint, Value, type_name

ROOT: Final = "Object"
_DEPTH_MAX: Final = 250


class _AnyField(Mapping[str, Field]):
    """Every name is a field; whether the object may have it is for the schema of the object to say."""

    def __getitem__(self, name: str) -> Field:
        return Field(DYN, name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


JSON_PATCH: Final = ObjectType(
    "JSONPatch",
    {
        "op": Field(STRING, "op"),
        "path": Field(STRING, "path"),
        "from": Field(STRING, "from"),
        "value": Field(DYN, "value"),
    },
)


def object_type(name: str) -> ObjectType | None:
    """`JSONPatch`, `Object`, `Object.spec`, `Object.spec.template`, ..."""
    if name == "JSONPatch":
        return JSON_PATCH
    if name == ROOT or name.startswith(f"{ROOT}."):
        return ObjectType(name, _AnyField())
    return None


def plain(value: Value, path: str = ROOT, depth: int = 0) -> Any:
    """JSON of a value. An object built of another type than its place in `Object` says is refused, as in Kubernetes."""
    if depth > _DEPTH_MAX:
        raise Failure("value is too deep")
    if isinstance(value, Struct):
        if value.type_name.startswith(ROOT) and value.type_name != path:
            text = "which matches field name path from root Object type"
            raise Failure(f'unexpected type name "{value.type_name}", expected "{path}", {text}')
        return {name: plain(each, f"{path}.{name}", depth + 1) for name, each in value.fields.items()}
    if type(value) in LISTS:
        return [plain(each, path, depth + 1) for each in value]
    if type(value) is dict:
        return {_key(key): plain(each, f"{path}.{key}", depth + 1) for key, each in value.items()}
    if isinstance(value, Uint):
        return int(value)
    if isinstance(value, Timestamp | Duration | Address | Range):
        return str(value)
    if isinstance(value, Amount):
        return str(value.quantity)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise Failure(f"type {type_name(value)} has no JSON form")


def _key(key: Value) -> str:
    if not isinstance(key, str):
        raise Failure("keys of JSON objects are strings")
    return key


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


PATCHES: Final = Library(
    "jsonpatch", (function("jsonpatch.escapeKey", Overload((STRING,), STRING, _escape, traversal)),)
)
