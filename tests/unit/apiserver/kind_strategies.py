"""Random objects of every built-in kind, as Hypothesis strategies: right in type, made of whatever the kind's message has.

None of the values is empty: in protobuf an empty one is the same as none.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from protobuf_writer import full

from wherry.api.schema import Schema
from wherry.api.scheme import Scheme
from wherry.api.types import Obj
from wherry.apiserver import protobuf
from wherry.apiserver.protobuf import ProtobufError

SCHEME = Scheme.load()
DEPTH_MAX = 5
"""Deep enough for a container's probe in a template; schemas of CRDs nest for ever."""
META = "k8s.io.apimachinery.pkg.apis.meta.v1"
words = st.text("abcxyz0-", min_size=1, max_size=6)
INTEGERS = {"int32": (1, 2**31 - 1), "int64": (1, 2**63 - 1), "uint32": (1, 2**31 - 1), "uint64": (1, 2**63 - 1)}


def has_message(api_version: str, kind: str) -> bool:
    try:
        protobuf.message_name(api_version, kind)
    except ProtobufError:
        return False
    return True


def kinds() -> list[tuple[str, str]]:
    """(apiVersion, kind) of everything that can be a body."""
    found: dict[tuple[str, str], None] = {}
    for resource in SCHEME.resources.values():
        found[resource.api_version, resource.kind] = None
        for sub in resource.subresources:
            found[f"{sub.group}/{sub.version}" if sub.group else sub.version, sub.kind] = None
    found["v1", "DeleteOptions"] = found["apps/v1", "DeleteOptions"] = None
    return [pair for pair in found if SCHEME.schema_of(*pair) is not None or pair[1] == "DeleteOptions"]


def objects(name: str, schema: Schema | None, depth: int) -> st.SearchStrategy[Obj]:
    """Some of the fields of a message, none of them empty: an empty one is the same as none, unless it is a pointer's."""
    package = name.rpartition(".")[0]
    fields = schema.fields if schema is not None else None
    chosen: dict[str, st.SearchStrategy[Any]] = {}
    inlined: list[st.SearchStrategy[Obj]] = []
    for key, kind, repeated in protobuf._fields()[name].values():
        child = fields.get(key) if fields is not None else None
        if (name.rpartition(".")[2], key) in protobuf.INLINED:
            if depth < DEPTH_MAX:
                inlined.append(objects(full(package, kind), schema, depth))
            continue
        if fields is not None and child is None:
            continue
        made = values(package, kind, repeated, child, depth)
        if made is not None:
            chosen[key] = made
    own = st.fixed_dictionaries({}, optional=chosen)
    if not inlined:
        return own
    return st.tuples(own, *inlined).map(lambda parts: {key: value for part in parts for key, value in part.items()})


def values(package: str, kind: str, repeated: bool, schema: Schema | None, depth: int) -> st.SearchStrategy[Any] | None:
    if kind.startswith("map<"):
        one = single(package, kind[len("map<string,") : -1], schema.values if schema else None, depth)
        return st.dictionaries(words, one, min_size=1, max_size=2) if one is not None else None
    one = single(package, kind, schema.items if repeated and schema else schema, depth)
    return st.lists(one, min_size=1, max_size=2) if repeated and one is not None else one


def single(package: str, kind: str, schema: Schema | None, depth: int) -> st.SearchStrategy[Any] | None:
    if kind == "string":
        return words
    if kind == "bool":
        return st.just(True)
    if kind in INTEGERS:
        return st.integers(*INTEGERS[kind])
    if kind == "double":
        return st.floats(1, 1e6, width=32)
    if kind == "bytes":
        return st.just("aGVsbG8=")
    name = full(package, kind)
    short = name.rpartition(".")[2]
    special = {
        "IntOrString": st.one_of(st.integers(-5, 70000), words),
        "Quantity": st.sampled_from(["100m", "5Gi"]),
        "RawExtension": st.just({"kind": "X", "apiVersion": "y/v1"}),
        "FieldsV1": st.just({"f:a": {}}),
        "JSON": st.sampled_from([{"a": [1]}, "text", 5]),
        "ExtraValue": st.lists(words, min_size=1, max_size=2),
        "Verbs": st.lists(words, min_size=1, max_size=2),
    }
    if name == f"{META}.Time":
        return st.just("2026-01-02T03:04:05Z")
    if name == f"{META}.MicroTime":
        return st.just("2026-01-02T03:04:05.000006Z")
    if short in special:
        return special[short]
    if short.startswith("JSONSchemaPropsOr"):
        other = {
            "Array": st.lists(st.just({"type": "string"}), min_size=1),
            "Bool": st.booleans(),
            "StringArray": st.lists(words, min_size=1),
        }
        return st.one_of(other[short[17:]], st.fixed_dictionaries({"type": words}, optional={"$ref": words}))
    if depth >= DEPTH_MAX or name not in protobuf._fields():
        return None
    return st.deferred(lambda: objects(name, schema, depth + 1))
