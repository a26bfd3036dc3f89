"""OpenAPI version 2 as protobuf: the `openapi.v2` messages of gnostic, which clients before kubectl 1.28 ask for.

Only the messages and fields that our own documents have. Extensions travel as YAML text; JSON is YAML.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from wherry.api import json
from wherry.api.types import Obj

_METHODS: Final = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}
_LENGTH: Final = 2  # wire type of strings and messages
_NUMBER: Final = 0


def document(swagger: Obj) -> bytes:
    """A whole version 2 document."""
    info = swagger["info"]
    return b"".join(
        [
            _string(1, swagger["swagger"]),
            _field(2, _string(1, info["title"]) + _string(2, info["version"])),
            _field(8, b"".join(_named(2, path, _path_item(item)) for path, item in swagger["paths"].items())),
            _field(9, _named_schemas(swagger["definitions"])),
        ]
    )


def _path_item(item: Obj) -> bytes:
    parts = [_field(_METHODS[method], _operation(item[method])) for method in _METHODS if method in item]
    return b"".join(parts) + b"".join(_field(9, _parameter(each)) for each in item.get("parameters", ()))


def _operation(operation: Obj) -> bytes:
    parts = [_string(1, tag) for tag in operation["tags"]]
    parts += [_string(3, operation["description"]), _string(5, operation["operationId"])]
    parts += [_string(6, media) for media in operation["produces"]]
    parts += [_string(7, media) for media in operation["consumes"]]
    parts += [_field(8, _parameter(each)) for each in operation.get("parameters", ())]
    responses = (_named(1, code, _field(1, _response(each))) for code, each in operation["responses"].items())
    parts += [_field(9, b"".join(responses))]
    parts += [_string(10, scheme) for scheme in operation["schemes"]]
    return b"".join(parts) + _extensions(13, operation)


def _parameter(parameter: Obj) -> bytes:
    """A ParametersItem: wrapped in Parameter, then in body or non-body."""
    (required, place) = (parameter.get("required", False), parameter["in"])
    (name, text) = (parameter["name"], parameter.get("description", ""))
    if place == "body":
        body = _string(1, text) + _string(2, name) + _string(3, place) + _flag(4, required)
        return _field(1, _field(1, body + _field(5, _schema(parameter["schema"]))))
    head = _flag(1, required) + _string(2, place) + _string(3, text) + _string(4, name)
    if place == "query":
        sub = _field(3, head + _string(6, parameter["type"]) + _flag(20, parameter.get("uniqueItems", False)))
    else:
        sub = _field(4, head + _string(5, parameter["type"]))
    return _field(1, _field(2, sub))


def _response(response: Obj) -> bytes:
    schema = response.get("schema")
    return _string(1, response["description"]) + (_field(2, _field(1, _schema(schema))) if schema else b"")


def _named_schemas(schemas: Obj) -> bytes:
    return b"".join(_named(1, name, _schema(schema)) for name, schema in schemas.items())


def _schema(schema: Obj) -> bytes:
    parts = [
        _string(1, schema.get("$ref", "")),
        _string(2, schema.get("format", "")),
        _string(4, schema.get("description", "")),
        *(_string(19, name) for name in schema.get("required", ())),
    ]
    if isinstance(more := schema.get("additionalProperties"), dict):
        parts.append(_field(21, _field(1, _schema(more))))
    if "type" in schema:
        parts.append(_field(22, _string(1, schema["type"])))
    if "items" in schema:
        parts.append(_field(23, _field(1, _schema(schema["items"]))))
    if "properties" in schema:
        parts.append(_field(25, _named_schemas(schema["properties"])))
    return b"".join(parts) + _extensions(31, schema)


def _extensions(number: int, holder: Obj) -> bytes:
    """NamedAny messages of everything that begins with x-."""
    found: Iterable[tuple[str, Any]] = ((key, value) for key, value in holder.items() if key.startswith("x-"))
    return b"".join(_named(number, key, _string(2, json.encode(value).decode() + "\n")) for key, value in found)


def _named(number: int, name: str, value: bytes) -> bytes:
    return _field(number, _string(1, name) + _field(2, value))


def _string(number: int, text: str) -> bytes:
    return _field(number, text.encode()) if text else b""


def _flag(number: int, value: bool) -> bytes:
    return _varint(number << 3 | _NUMBER) + b"\x01" if value else b""


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
