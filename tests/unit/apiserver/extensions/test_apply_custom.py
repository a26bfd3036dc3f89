"""Server-side apply of custom resources: their own lists and maps, what their schemas let through, their scale."""

from __future__ import annotations

from typing import Any

from api_core import Server
from custom_api import WIDGETS, definition, serving, version, widget

from wherry.aio.virtual import run_virtual

APPLY = "application/apply-patch+yaml"
PORT = {
    "type": "object",
    "required": ["number"],
    "properties": {
        "number": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "note": {"type": "string"},
    },
}  # fmt: skip
SPEC = {
    "type": "object",
    "properties": {
        "copies": {"type": "integer"},
        "ports": {
            "type": "array", "items": PORT, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["number", "protocol"],
        },
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "steps": {"type": "array", "items": {"type": "string"}},
        "whole": {"type": "object", "additionalProperties": {"type": "string"}, "x-kubernetes-map-type": "atomic"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "half": {
            "type": "object", "properties": {"known": {"type": "string"}}, "x-kubernetes-preserve-unknown-fields": True,
        },
    },
}  # fmt: skip


def owners(body: dict[str, Any]) -> dict[str, Any]:
    return {each["manager"]: each["fieldsV1"] for each in body["metadata"]["managedFields"]}


def test_lists_maps_and_what_nobody_declared() -> None:
    async def test(server: Server) -> None:
        async def apply(manager: str, spec: dict[str, Any]) -> dict[str, Any]:
            said = await server.ask(
                "PATCH", f"{WIDGETS}/w?fieldManager={manager}", widget("w", spec=spec), content_type=APPLY
            )
            assert said.status in (200, 201), said.body
            body: dict[str, Any] = said.body
            return body

        await apply("one", {"ports": [{"number": 1}], "tags": ["a"], "steps": ["x"], "free": {"a": {"b": [1]}}})
        body = await apply(
            "two", {"ports": [{"number": 2, "note": "n"}], "tags": ["b"], "half": {"odd": 1, "known": "k"}}
        )
        assert body["spec"]["ports"] == [
            {"number": 1, "protocol": "TCP"},
            {"number": 2, "protocol": "TCP", "note": "n"},
        ]
        assert body["spec"]["tags"] == ["a", "b"]
        assert owners(body)["one"]["f:spec"] == {
            "f:ports": {'k:{"number":1,"protocol":"TCP"}': {".": {}, "f:number": {}}},
            "f:tags": {'v:"a"': {}},
            "f:steps": {},
            "f:free": {"f:a": {".": {}, "f:b": {}}},
        }
        assert owners(body)["two"]["f:spec"]["f:half"] == {"f:odd": {}, "f:known": {}}
        body = await apply("one", {"tags": ["a"]})
        assert body["spec"] == {
            "ports": [{"number": 2, "protocol": "TCP", "note": "n"}], "tags": ["a", "b"], "half": {"odd": 1, "known": "k"},
        }  # fmt: skip
        wrong = await server.ask(
            "PATCH", f"{WIDGETS}/w?fieldManager=x", widget("w", spec={"odd": 1}), content_type=APPLY
        )
        assert wrong.message.endswith(".spec.odd: field not declared in schema")

    async def main() -> None:
        schema = {"type": "object", "properties": {"spec": SPEC}}
        async with serving(definition(versions=[version(schema=schema)])) as server:
            await test(server)

    run_virtual(main())


def test_replicas_wherever_the_definition_keeps_them() -> None:
    async def main() -> None:
        schema = {
            "type": "object",
            "properties": {"spec": SPEC, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        }
        scale = {"specReplicasPath": ".spec.copies", "statusReplicasPath": ".status.copies"}
        async with serving(definition(version(schema=schema, subresources={"scale": scale}))) as server:
            await server.ask("POST", f"{WIDGETS}?fieldManager=maker", widget("w", spec={"copies": 1, "steps": ["x"]}))
            configuration = {
                "apiVersion": "autoscaling/v1",
                "kind": "Scale",
                "metadata": {"name": "w"},
                "spec": {"replicas": 2},
            }
            target = f"{WIDGETS}/w/scale?fieldManager=scaler"
            refused = await server.ask("PATCH", target, configuration, content_type=APPLY)
            assert (
                refused.message
                == 'Apply failed with 1 conflict: conflict with "maker" using autoscaling/v1: .spec.replicas'
            )
            said = await server.ask("PATCH", f"{target}&force=true", configuration, content_type=APPLY)
            assert said.body["spec"] == {"replicas": 2}
            live = (await server.ask("GET", f"{WIDGETS}/w")).body
            assert live["spec"]["copies"] == 2
            assert owners(live) == {
                "scaler": {"f:spec": {"f:copies": {}}},
                "maker": {"f:spec": {".": {}, "f:steps": {}}},
            }

    run_virtual(main())
