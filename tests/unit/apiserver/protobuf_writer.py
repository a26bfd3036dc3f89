"""Objects to Kubernetes' protobuf as its Go types write it: the other half of `wherry.apiserver.protobuf`, for tests.

Walks the same table of field numbers, so it cannot notice a wrong number; `test_protobuf.py` has bytes written by hand.
"""

from __future__ import annotations

import base64
import struct
from datetime import UTC, datetime
from typing import Any

from wherry.api import json
from wherry.api.schema import Schema
from wherry.api.types import Obj
from wherry.apiserver import protobuf

META = "k8s.io.apimachinery.pkg.apis.meta.v1"


def encode(obj: Obj, schema: Schema | None) -> bytes:
    """A whole body: magic, envelope, message."""
    name = protobuf.message_name(obj["apiVersion"], obj["kind"])
    bare = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
    meta = field(1, obj["apiVersion"]) + field(2, obj["kind"])
    return protobuf.MAGIC + field(1, meta) + field(2, message(name, bare, schema)) + field(3, "") + field(4, "")


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: Any) -> bytes:
    """int and bool as varint, float as double, the rest with its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(int(value))
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(name: str, obj: Obj, schema: Schema | None) -> bytes:
    package = name.rpartition(".")[0]
    fields = schema.fields if schema is not None else None
    out = b""
    for number, (key, kind, repeated) in protobuf._fields()[name].items():
        child = fields.get(key) if fields is not None else None
        if (name.rpartition(".")[2], key) in protobuf.INLINED:
            inner = message(full(package, kind), obj, schema)  # inlined in JSON
            out += field(number, inner) if inner else b""
        elif key not in obj:
            continue
        elif kind.startswith("map<"):
            of = kind[len("map<string,") : -1]
            for entry, value in obj[key].items():
                out += field(
                    number, field(1, entry) + field(2, wire(package, of, value, child.values if child else None))
                )
        elif repeated:
            for value in obj[key]:
                out += field(number, wire(package, kind, value, child.items if child else None))
        else:
            out += field(number, wire(package, kind, obj[key], child))
    return out


def is_message(kind: str) -> bool:
    return protobuf.is_message(kind)


def full(package: str, kind: str) -> str:
    return kind[1:] if kind.startswith(".") else f"{package}.{kind}"


def wire(package: str, kind: str, value: Any, schema: Schema | None) -> Any:
    if kind == "bytes":
        return base64.b64decode(value)
    if kind == "double":
        return float(value)
    if not is_message(kind):
        return value
    name = full(package, kind)
    short = name.rpartition(".")[2]
    if name == f"{META}.Time":
        return field(1, int(instant(value).timestamp()))
    if name == f"{META}.MicroTime":
        return field(1, int(instant(value).timestamp())) + field(2, instant(value).microsecond * 1000)
    if short == "IntOrString":
        return field(1, 1) + field(3, value) if isinstance(value, str) else field(1, 0) + field(2, value)
    if short == "Quantity":
        return field(1, value)
    if short in ("RawExtension", "FieldsV1", "JSON"):
        return field(1, json.encode(value))
    if short.startswith("JSONSchemaPropsOr"):
        props = f"{package}.JSONSchemaProps"
        if isinstance(value, bool):
            return field(1, value)
        if isinstance(value, list):
            return b"".join(field(2, each if isinstance(each, str) else message(props, each, None)) for each in value)
        bool_too = field(1, True) if short.endswith("Bool") else b""
        return bool_too + field(2 if bool_too else 1, message(props, value, None))
    if short in ("ExtraValue", "Verbs"):
        return b"".join(field(1, each) for each in value)
    return message(name, value, schema)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
