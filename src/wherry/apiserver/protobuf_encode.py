"""Answers in Kubernetes' protobuf: the stored dicts as the messages Go's types have, for who asks for them first.

The same table of field numbers as in `protobuf.py`, compiled once per message into writers by JSON key. What has no message
(custom resources, Tables) is not offered. Empty fields are left out; what Go writes for a field that is no pointer is the same
to its reader. Fields come in the order of the object, which every reader must take.
Source: Protocol Buffers' encoding; Kubernetes' "Kubernetes Protobuf encoding" for the envelope; its length-delimited frames.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, TypeAlias

from wherry.api import json
from wherry.api.types import Obj
from wherry.apiserver.protobuf import (
    INLINED,
    MAGIC,
    ProtobufError,
    full_name,
    is_message,
    message_fields,
    message_name,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND, _MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
Writer: TypeAlias = Callable[[Any], bytes]
"""A value of a field to the bytes of that field, its number included."""


@lru_cache(maxsize=1024)
def has_message(api_version: str, kind: str) -> bool:
    """Whether objects of a kind, and lists of them, can be written."""
    try:
        message_name(api_version, kind)
    except ProtobufError:
        return False
    return True


def encode(obj: Obj) -> bytes:
    """A whole answer: magic, then `runtime.Unknown` around the object's message. Raises ProtobufError when its kind has none."""
    api_version, kind = obj["apiVersion"], obj["kind"]
    body = _encode(_writers(message_name(api_version, kind)), obj)
    meta = _bytes(b"\n", api_version.encode()) + _bytes(b"\x12", kind.encode())
    return b"".join((MAGIC, _bytes(b"\n", meta), _bytes(b"\x12", body), b"\x1a\x00\x22\x00"))


def frame(kind: str, obj: Obj) -> bytes:
    """One event of a watch: `meta.v1.WatchEvent` behind its length in four bytes, the object in it as `encode` writes it."""
    event = _bytes(b"\n", kind.encode()) + _bytes(b"\x12", _bytes(b"\n", encode(obj)))
    return struct.pack(">I", len(event)) + event


# -- messages


def _encode(writers: dict[str, Writer], obj: Obj) -> bytes:
    inlined = writers.get("")
    parts = [] if inlined is None else [inlined(obj)]
    for key, value in obj.items():
        if value is not None and (write := writers.get(key)) is not None:
            parts.append(write(value))
    return b"".join(parts)


@cache
def _writers(name: str) -> dict[str, Writer]:
    """JSON key -> writer, of one message; "" writes what JSON inlines, of the whole object."""
    package, _, short = name.rpartition(".")
    found: dict[str, Writer] = {}
    inlined: list[Writer] = []
    for number, (key, kind, repeated) in message_fields(name).items():
        if (short, key) in INLINED:
            inlined.append(_inlined(number, full_name(package, kind)))
        elif kind.startswith("map<"):
            found[key] = _map(number, package, kind[len("map<string,") : -1])
        else:
            one = _field(number, package, kind)
            found[key] = _repeated(one) if repeated else one
    if inlined:
        found[""] = lambda obj: b"".join([write(obj) for write in inlined])
    return found


def _inlined(number: int, name: str) -> Writer:
    tag = _tag(number, 2)

    def write(obj: Any) -> bytes:
        body = _encode(_writers(name), obj)
        return _bytes(tag, body) if body else b""

    return write


def _repeated(one: Writer) -> Writer:
    return lambda values: b"".join([one(value) for value in values])


def _map(number: int, package: str, kind: str) -> Writer:
    tag, value_of = _tag(number, 2), _field(2, package, kind)

    def write(values: Any) -> bytes:
        return b"".join(
            [_bytes(tag, _bytes(b"\n", key.encode()) + value_of(value)) for key, value in sorted(values.items())]
        )

    return write


def _field(number: int, package: str, kind: str) -> Writer:
    if kind in ("bool", "int32", "int64", "uint32", "uint64"):
        tag = _tag(number, 0)
        return lambda value: tag + _varint(int(value))
    if kind == "double":
        tag = _tag(number, 1)
        return lambda value: tag + struct.pack("<d", value)
    tag = _tag(number, 2)
    if kind == "string":
        return lambda value: _bytes(tag, value.encode())
    if kind == "bytes":
        return lambda value: _bytes(tag, base64.b64decode(value))
    name = full_name(package, kind)
    special = _SPECIAL.get(name) or _SPECIAL.get(name.rpartition(".")[2])
    if special is not None:
        made = special
        return lambda value: _bytes(tag, made(value))
    assert is_message(kind)
    return lambda value: _bytes(tag, _encode(_writers(name), value))


# -- values JSON writes otherwise


@lru_cache(maxsize=4096)  # the times of objects made together are the same
def _time(text: str) -> bytes:
    seconds = (datetime.fromisoformat(text) - _EPOCH) // _SECOND
    return b"\x08" + _varint(seconds)


@lru_cache(maxsize=4096)
def _micro_time(text: str) -> bytes:
    since = datetime.fromisoformat(text) - _EPOCH
    return b"\x08" + _varint(since // _SECOND) + b"\x10" + _varint(since % _SECOND // _MICROSECOND * 1000)


def _int_or_string(value: Any) -> bytes:
    if isinstance(value, str):
        return b"\x08\x01\x1a" + _varint(len(data := value.encode())) + data
    return b"\x08\x00\x10" + _varint(value)


def _raw_json(value: Any) -> bytes:
    return _bytes(b"\n", json.encode(value))


def _strings(values: Any) -> bytes:
    return b"".join([_bytes(b"\n", each.encode()) for each in values])


def _one_or_many(value: Any) -> bytes:
    one = _writers(_PROPS)
    if isinstance(value, list):
        return b"".join([_bytes(b"\x12", _encode(one, each)) for each in value])
    return _bytes(b"\n", _encode(one, value))


def _props_or_bool(value: Any) -> bytes:
    if isinstance(value, bool):
        return b"\x08" + _varint(int(value))
    return b"\x08\x01" + _bytes(b"\x12", _encode(_writers(_PROPS), value))


def _props_or_strings(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join([_bytes(b"\x12", each.encode()) for each in value])
    return _bytes(b"\n", _encode(_writers(_PROPS), value))


_META = "k8s.io.apimachinery.pkg.apis.meta.v1"
_PROPS = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
_SPECIAL: dict[str, Writer] = {
    f"{_META}.Time": _time,
    f"{_META}.MicroTime": _micro_time,
    "IntOrString": _int_or_string,
    "Quantity": lambda value: _bytes(b"\n", str(value).encode()),
    "RawExtension": _raw_json,
    "FieldsV1": _raw_json,
    "JSON": _raw_json,
    "ExtraValue": _strings,
    "Verbs": _strings,
    "JSONSchemaPropsOrArray": _one_or_many,
    "JSONSchemaPropsOrBool": _props_or_bool,
    "JSONSchemaPropsOrStringArray": _props_or_strings,
}


# -- the wire


_SHORT = tuple(bytes([number]) for number in range(128))


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _bytes(tag: bytes, data: bytes) -> bytes:
    size = len(data)
    return tag + (_SHORT[size] if size < 128 else _varint(size)) + data


def _varint(value: int) -> bytes:
    if 0 <= value < 128:
        return _SHORT[value]
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
