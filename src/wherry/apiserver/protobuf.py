"""Request bodies in Kubernetes' protobuf, read into the same dicts JSON gives. Writing is `protobuf_encode.py`'s.

kubectl's typed commands, Helm and controllers written in Go send built-in kinds as `application/vnd.kubernetes.protobuf`:
four magic bytes, then `runtime.Unknown` with apiVersion, kind and the object's own message. Field numbers and types come
from `protobuf_fields.xz`, made by tools/make_protobuf_fields.py of the published .proto files; the JSON schema walked along
tells which fields are required.

What Go cannot say in protobuf: a field that is no pointer is sent also when it is empty. Empty values are therefore
dropped, as JSON's omitempty drops them, but for required fields and those whose Go type is a pointer (`_POINTERS`).
"""

from __future__ import annotations

import base64
import lzma
import re
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from wherry.aio.clock import rfc3339, rfc3339_micro
from wherry.api import json
from wherry.api.schema import Schema
from wherry.api.types import Obj

MAGIC = b"k8s\x00"
DEPTH_MAX = 64
"""No built-in kind nests deeper; JSON schemas in CRDs are the deepest."""
_META = "k8s.io.apimachinery.pkg.apis.meta.v1"
_UNKNOWN = "k8s.io.apimachinery.pkg.runtime.Unknown"
_PACKAGES = {
    "": "k8s.io.api.core",
    "meta.k8s.io": "k8s.io.apimachinery.pkg.apis.meta",
    "apiextensions.k8s.io": "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "k8s.io.kube_aggregator.pkg.apis.apiregistration",
}
_POINTERS = frozenset(
    {
        "activeDeadlineSeconds",
        "allocateLoadBalancerNodePorts",
        "allowPrivilegeEscalation",
        "attachRequired",
        "automountServiceAccountToken",
        "backoffLimit",
        "backoffLimitPerIndex",
        "blockOwnerDeletion",
        "completions",
        "controller",
        "defaultMode",
        "deletionGracePeriodSeconds",
        "enableServiceLinks",
        "expirationSeconds",
        "failedJobsHistoryLimit",
        "fsGroup",
        "gracePeriodSeconds",
        "healthCheckNodePort",
        "hostUsers",
        "immutable",
        "ipFamilyPolicy",
        "leaseDurationSeconds",
        "leaseTransitions",
        "limitBytes",
        "manualSelector",
        "maxFailedIndexes",
        "minReplicas",
        "mode",
        "optional",
        "orphanDependents",
        "parallelism",
        "periodSeconds",
        "podInfoOnMount",
        "port",
        "preemptionPolicy",
        "priority",
        "privileged",
        "procMount",
        "readOnlyRootFilesystem",
        "ready",
        "replicas",
        "revisionHistoryLimit",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "runtimeClassName",
        "seconds",
        "serving",
        "setHostnameAsFQDN",
        "shareProcessNamespace",
        "stabilizationWindowSeconds",
        "startingDeadlineSeconds",
        "storageClassName",
        "successfulJobsHistoryLimit",
        "suspend",
        "terminating",
        "terminationGracePeriodSeconds",
        "timeoutSeconds",
        "tolerationSeconds",
        "ttlSecondsAfterFinished",
    }
)
"""Fields for which empty means something else than absent (`storageClassName: ""`, `replicas: 0`)."""
_MEANT_IN_SCHEMAS = frozenset(
    {
        *("additionalProperties", "additionalItems", "default", "example", "maximum", "minimum", "multipleOf"),
        *("maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"),
        "x-kubernetes-preserve-unknown-fields",
    }
)
"""The same of JSONSchemaProps."""
INLINED = frozenset(
    {
        *((name, "localObjectReference") for name in ("ConfigMapEnvSource", "ConfigMapKeySelector", "ConfigMapProjection",
                                                      "ConfigMapVolumeSource", "SecretEnvSource", "SecretKeySelector",
                                                      "SecretProjection")),
        *((f"Device{name}Configuration", "deviceConfiguration") for name in ("Allocation", "Claim", "Class")),
        ("EphemeralContainer", "ephemeralContainerCommon"),
        ("IngressRule", "ingressRuleValue"),
        ("NamedRuleWithOperations", "ruleWithOperations"),
        ("PersistentVolumeSpec", "persistentVolumeSource"),
        ("Probe", "handler"),
        ("RuleWithOperations", "rule"),
        ("Volume", "volumeSource"),
    }
)  # fmt: skip
"""Messages whose fields JSON has among those of the message around them: (message around, field)."""
_PLAIN_DESPITE_NAME = frozenset({("Probe", "timeoutSeconds"), ("Probe", "periodSeconds"), ("ServicePort", "port")})


class ProtobufError(ValueError):
    """The bytes are no protobuf, or of no kind we know."""


def decode(body: bytes, schema_of: Any, default: tuple[str, str]) -> Obj:
    """The object in a body. `schema_of(api_version, kind)` gives its JSON schema or None; `default` is the (apiVersion, kind)
    of a body that does not say. Raises ProtobufError."""
    if not body.startswith(MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = _raw_fields(memoryview(body)[4:])
        meta = _raw_fields(envelope.get(1, memoryview(b"")))
        api_version = bytes(meta.get(1, b"")).decode() or default[0]
        kind = bytes(meta.get(2, b"")).decode() or default[1]
        raw = envelope.get(2, memoryview(b""))
        if bytes(envelope.get(4, b"")) == b"application/json":
            value: Obj = json.decode(bytes(raw))
        else:
            schema = schema_of(api_version, kind)
            value = _message(message_name(api_version, kind), raw, schema, 0)
    except (IndexError, struct.error, UnicodeDecodeError, KeyError) as error:
        raise ProtobufError(f"malformed protobuf: {error}") from None
    return {"kind": kind, "apiVersion": api_version, **value}


@cache
def _fields() -> dict[str, dict[int, tuple[str, str, bool]]]:
    """message -> field number -> (name, type, repeated)."""
    packed = Path(__file__).with_name("protobuf_fields.xz").read_bytes()
    table = json.decode(lzma.decompress(packed))
    return {
        message: {number: (_json_key(message, name), kind, flag == "r") for number, name, kind, flag in fields}
        for message, fields in table.items()
    }


def _json_key(message: str, name: str) -> str:
    """JSON schemas have names that no language allows for fields."""
    if not message.endswith(".JSONSchemaProps"):
        return name
    if name in ("ref", "schema"):
        return f"${name}"
    return re.sub("[A-Z]", lambda letter: f"-{letter[0].lower()}", name) if name.startswith("xKubernetes") else name


def message_fields(name: str) -> dict[int, tuple[str, str, bool]]:
    """Field number -> (JSON key, type, repeated); nothing of a message nobody knows."""
    return _fields().get(name, {})


def message_name(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    package = _PACKAGES.get(group) or f"k8s.io.api.{group.split('.', 1)[0]}"
    name = f"{package}.{version}.{kind}"
    if name not in _fields() and f"{_META}.{kind}" in _fields():
        name = f"{_META}.{kind}"  # DeleteOptions is sent under the group it deletes in
    if name not in _fields():
        raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}"')
    return name


# -- the wire


def _raw_fields(data: memoryview) -> dict[int, Any]:
    """Last value of every field, for the envelope."""
    return {number: value for number, _, value in _parse(data)}


def _parse(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """(field number, wire type, value): int for varints and fixed, memoryview for the rest."""
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, wire, value
        elif wire == 2:
            length, position = _varint(data, position)
            if position + length > end:
                raise ProtobufError("malformed protobuf: unexpected EOF")
            yield number, wire, data[position : position + length]
            position += length
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            if position + size > end:
                raise ProtobufError("malformed protobuf: unexpected EOF")
            yield number, wire, data[position : position + size]
            position += size
        else:
            raise ProtobufError(f"malformed protobuf: wire type {wire}")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ProtobufError("malformed protobuf: integer overflow or unexpected EOF")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


# -- messages


def _message(name: str, data: memoryview, schema: Schema | None, depth: int) -> Obj:
    if depth > DEPTH_MAX:
        raise ProtobufError("malformed protobuf: too deep")
    table = _fields()[name]
    package, _, short = name.rpartition(".")
    fields = schema.fields if schema is not None else None
    obj: Obj = {}
    for number, wire, raw in _parse(data):
        known = table.get(number)
        if known is None:
            continue  # a field of a newer version, as an unknown field in JSON
        key, kind, repeated = known
        child = fields.get(key) if fields is not None else None
        if kind.startswith("map<"):
            _add_entry(obj.setdefault(key, {}), package, kind, raw, child, depth)
            continue
        inlined = (short, key) in INLINED
        value = _value(package, kind, wire, raw, schema if inlined else child if not repeated else _items(child), depth)
        if inlined:
            if isinstance(value, dict):
                obj.update(value)
        elif repeated:
            obj.setdefault(key, []).append(value)
        elif not _is_empty(value) or _is_meant(short, key, schema):
            obj[key] = value
    return obj


def _items(schema: Schema | None) -> Schema | None:
    return schema.items if schema is not None else None


def _is_empty(value: Any) -> bool:
    return value is None or value is False or value == 0 or value == ""


def _is_meant(message: str, key: str, schema: Schema | None) -> bool:
    """Whether an empty value says something."""
    if (message, key) in _PLAIN_DESPITE_NAME:
        return False
    if message == "JSONSchemaProps" and key in _MEANT_IN_SCHEMAS:
        return True
    return key in _POINTERS or (schema is not None and key in schema.required)


def is_message(kind: str) -> bool:
    return kind not in _SCALARS and not kind.startswith("map<")


def full_name(package: str, kind: str) -> str:
    """Of a message named in a field of a message of `package`."""
    return kind[1:] if kind.startswith(".") else f"{package}.{kind}"


_SCALARS = frozenset({"string", "bytes", "bool", "int32", "int64", "uint32", "uint64", "double"})


def _value(package: str, kind: str, wire: int, raw: Any, schema: Schema | None, depth: int) -> Any:
    if wire == 0:
        if kind == "bool":
            return bool(raw)
        return raw - (1 << 64) if raw >= 1 << 63 else raw
    if wire == 1:
        number: float = struct.unpack("<d", raw)[0]
        return int(number) if number.is_integer() else number
    if kind == "string":
        return bytes(raw).decode()
    if kind == "bytes":
        return base64.b64encode(raw).decode()
    name = full_name(package, kind)
    special = _SPECIAL.get(name)
    if special is not None:
        return special(_raw_fields(raw))
    value = _message(name, raw, schema, depth + 1)
    return _union(name.rpartition(".")[2], value)


def _union(message: str, value: Obj) -> Any:
    """Messages for which JSON has one of several things."""
    match message:
        case "ExtraValue" | "Verbs":
            return value.get("items", [])
        case "JSONSchemaPropsOrArray":
            return value["jSONSchemas"] if "jSONSchemas" in value else value.get("schema")
        case "JSONSchemaPropsOrBool":
            return value["schema"] if "schema" in value else value.get("allows", False)
        case "JSONSchemaPropsOrStringArray":
            return value["property"] if "property" in value else value.get("schema")
    return value


def _add_entry(target: Obj, package: str, kind: str, raw: Any, schema: Schema | None, depth: int) -> None:
    """One entry of a map<string,X>: a message with key 1 and value 2."""
    value_kind = kind[len("map<string,") : -1]
    key, value = "", "" if value_kind in ("string", "bytes") else None
    for number, wire, part in _parse(raw):
        if number == 1:
            key = bytes(part).decode()
        elif number == 2:
            value = _value(package, value_kind, wire, part, schema.values if schema is not None else None, depth)
    target[key] = value


def _signed(value: Any) -> int:
    number = int(value or 0)
    return number - (1 << 64) if number >= 1 << 63 else number


def _time(fields: dict[int, Any]) -> str | None:
    return rfc3339(_signed(fields.get(1))) if fields else None


def _micro_time(fields: dict[int, Any]) -> str | None:
    return rfc3339_micro(_signed(fields.get(1)) + _signed(fields.get(2)) / 1e9) if fields else None


def _int_or_string(fields: dict[int, Any]) -> Any:
    return bytes(fields.get(3, b"")).decode() if _signed(fields.get(1)) else _signed(fields.get(2))


def _text(fields: dict[int, Any]) -> str:
    return bytes(fields.get(1, b"")).decode()


def _raw_json(fields: dict[int, Any]) -> Any:
    raw = bytes(fields.get(1, b""))
    return json.decode(raw) if raw else None


_SPECIAL = {
    f"{_META}.Time": _time,
    f"{_META}.MicroTime": _micro_time,
    f"{_META}.FieldsV1": _raw_json,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    "k8s.io.apimachinery.pkg.api.resource.Quantity": _text,
    "k8s.io.apimachinery.pkg.runtime.RawExtension": _raw_json,
    "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSON": _raw_json,
}
