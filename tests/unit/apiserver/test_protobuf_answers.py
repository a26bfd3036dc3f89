"""Answers in protobuf: the same as in JSON, for objects, lists, watches, errors and metadata; JSON for what has no message."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from api_core import MAPS, Server, config_map, make_server
from kind_strategies import SCHEME, has_message

from wherry.api.schema import Schema
from wherry.api.types import Obj
from wherry.apiserver import negotiation, protobuf, protobuf_encode
from wherry.apiserver.http import Response, Stream

PROTOBUF = "application/vnd.kubernetes.protobuf"
BOTH = f"{PROTOBUF},application/json"
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "owls.birds.example.com"},
    "spec": {
        "group": "birds.example.com",
        "scope": "Namespaced",
        "names": {"plural": "owls", "kind": "Owl"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                                "properties": {
                                    "size": {"type": "integer", "minimum": 0, "maximum": 2.5, "default": 0},
                                    "names": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["a"],
                                        "items": {
                                            "type": "object",
                                            "required": ["a"],
                                            "properties": {"a": {"type": "string", "minLength": 0}},
                                        },
                                    },
                                    "notes": {"type": "object", "additionalProperties": {"type": "string"}},
                                    "open": {"type": "string", "enum": ["", "x"], "default": ""},
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}


async def answer(server: Server, method: str, target: str, accept: str, body: Any = None) -> Response:
    request = server.request(
        method, target, body, token="secret", content_type="application/json" if body else "", accept=accept
    )
    found = await server.app.handle(request)
    assert isinstance(found, Response)
    return found


def read(data: bytes | None, api_version: str = "", kind: str = "") -> Obj:
    assert data is not None
    return protobuf.decode(data, SCHEME.schema_of, (api_version, kind))


async def test_objects_and_errors_are_what_they_are_in_json() -> None:
    server = await make_server()
    made = await answer(server, "POST", MAPS, PROTOBUF, config_map("a", key="välue"))
    assert (made.status, made.content_type) == (201, PROTOBUF)
    assert read(made.data) == (await server.ask("GET", f"{MAPS}/a")).body
    got = await answer(server, "GET", f"{MAPS}/a", BOTH)
    assert (got.content_type, got.data) == (PROTOBUF, made.data)
    for target in (f"{MAPS}/none", "/api/v1/namespaces/shop/nonsense"):
        error = await answer(server, "GET", target, BOTH)
        assert (error.status, error.content_type) == (404, PROTOBUF)
        assert read(error.data) == {"metadata": {}, **(await server.ask("GET", target)).body}
    deleted = await answer(server, "DELETE", f"{MAPS}/a", BOTH)
    assert read(deleted.data)["status"] == "Success"


async def test_lists_and_what_is_only_metadata() -> None:
    server = await make_server()
    for name in ("a", "b"):
        await server.ask("POST", MAPS, config_map(name, x="1"))
    listed = read((await answer(server, "GET", f"{MAPS}?limit=1", BOTH)).data)
    plain = (await server.ask("GET", f"{MAPS}?limit=1")).body
    assert (listed["kind"], listed["metadata"]) == ("ConfigMapList", plain["metadata"])
    assert [each["metadata"]["name"] for each in listed["items"]] == ["a"]
    accept = f"{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
    only = read((await answer(server, "GET", MAPS, accept)).data)
    assert (only["kind"], only["apiVersion"], len(only["items"])) == ("PartialObjectMetadataList", "meta.k8s.io/v1", 2)
    assert "data" not in only["items"][0]


async def test_a_long_list_is_json_for_who_takes_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(negotiation, "PROTOBUF_ITEMS_MAX", 1)
    server = await make_server()
    for name in ("a", "b"):
        await server.ask("POST", MAPS, config_map(name))
    assert (await answer(server, "GET", MAPS, BOTH)).content_type == "application/json"
    assert (await answer(server, "GET", MAPS, PROTOBUF)).content_type == PROTOBUF


async def test_watch_events_are_frames() -> None:
    server = await make_server()
    target = f"{MAPS}?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    await server.ask("POST", MAPS, config_map("a", x="1"))
    stream = await server.app.handle(
        server.request("GET", target, None, token="secret", content_type="", accept=f"{PROTOBUF};stream=watch,{BOTH}")
    )
    assert isinstance(stream, Stream)
    assert stream.content_type == f"{PROTOBUF};stream=watch"
    frames = [await anext(stream.items) for _ in range(2)]
    await server.ask("DELETE", f"{MAPS}/a")
    frames.append(await anext(stream.items))
    await stream.items.aclose()
    events = [event(frame) for frame in frames]
    assert [kind for kind, _ in events] == ["ADDED", "BOOKMARK", "DELETED"]
    assert events[0][1]["data"] == {"x": "1"}
    assert events[1][1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def event(frame: bytes) -> tuple[str, Obj]:
    (size,) = struct.unpack(">I", frame[:4])
    assert size == len(frame) - 4
    fields = protobuf._raw_fields(memoryview(frame)[4:])
    inner = protobuf._raw_fields(fields[2])
    return bytes(fields[1]).decode(), read(bytes(inner[1]))


async def test_definitions_with_everything_schemas_say() -> None:
    server = await make_server()
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    stored = (await server.ask("POST", path, DEFINITION)).body
    got = await answer(server, "GET", f"{path}/owls.birds.example.com", PROTOBUF)
    found = read(got.data)
    assert found["spec"]["versions"][0]["schema"] == stored["spec"]["versions"][0]["schema"]
    assert found["metadata"] == stored["metadata"]


async def test_what_has_no_message_is_json_or_refused_with_what_can_be_had() -> None:
    server = await make_server()
    for target in ("/version", "/apis", "/api/v1"):
        assert (await answer(server, "GET", target, BOTH)).content_type == "application/json"
    table = f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1,application/json;as=Table;g=meta.k8s.io;v=v1"
    assert json.loads((await answer(server, "GET", MAPS, table)).data or b"")["kind"] == "Table"
    refusal = negotiation._choose(PROTOBUF, False, negotiation.NO_MESSAGE)
    assert str(refusal) == "only the following media types are accepted: application/json, application/yaml"


@pytest.mark.parametrize("resource", [each for each in SCHEME.resources.values() if "list" in each.verbs], ids=str)
def test_every_kind_that_is_listed_has_a_list(resource: Any) -> None:
    if resource.group != "metrics.k8s.io":
        assert has_message(resource.api_version, resource.kind)
        assert protobuf_encode.has_message(resource.api_version, f"{resource.kind}List")


def test_what_json_inlines_is_what_the_schemas_inline() -> None:
    """The table of it, held against every built-in schema: a message whose fields JSON has one level up."""
    found: set[tuple[str, str]] = set()
    seen: set[tuple[str, int]] = set()

    def walk(name: str, schema: Schema | None) -> None:
        if schema is None or schema.fields is None or (name, id(schema)) in seen:
            return
        seen.add((name, id(schema)))
        package, _, short = name.rpartition(".")
        for key, kind, repeated in protobuf.message_fields(name).values():
            child = schema.fields.get(key)
            of = kind[len("map<string,") : -1] if kind.startswith("map<") else kind
            if not protobuf.is_message(of):
                continue
            inner = protobuf.full_name(package, of)
            if child is None:
                keys = {each[0] for each in protobuf.message_fields(inner).values()}
                if not repeated and keys & schema.fields.keys():
                    found.add((short, key))
                    walk(inner, schema)
            else:
                walk(inner, child.values if of is not kind else child.items if repeated else child)

    for resource in SCHEME.resources.values():
        if has_message(resource.api_version, resource.kind):
            walk(protobuf.message_name(resource.api_version, resource.kind), SCHEME.schema(resource))
    assert found <= protobuf.INLINED
    assert len(found) > 12
