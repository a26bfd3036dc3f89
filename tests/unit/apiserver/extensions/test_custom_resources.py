from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from api_core import ADMIN, Server, signing_key
from custom_api import DEFINITIONS, WIDGETS, conditions, definition, established, serving, version, widget

from wherry.aio.virtual import run_virtual
from wherry.api.scheme import Scheme
from wherry.apiserver.app import App, Options


def run(test: Callable[[Server], Awaitable[None]], *definitions: Any) -> None:
    async def main() -> None:
        async with serving(*definitions) as server:
            await test(server)

    run_virtual(main())


def test_a_definition_is_named_and_served_as_soon_as_it_says_so() -> None:
    async def test(server: Server) -> None:
        said = await server.ask("POST", DEFINITIONS, definition())
        assert said.body["status"] == {
            "conditions": None,
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": ["v1"],
        }
        body = await established(server, "widgets.example.com")
        assert conditions(body) == {
            "NamesAccepted": ("True", "NoConflicts"),
            "Established": ("True", "InitialNamesAccepted"),
        }
        assert body["status"]["acceptedNames"] == {
            "plural": "widgets",
            "singular": "widget",
            "kind": "Widget",
            "listKind": "WidgetList",
        }
        assert (await server.ask("GET", WIDGETS)).body["kind"] == "WidgetList"
        groups = [group["name"] for group in (await server.ask("GET", "/apis")).body["groups"]]
        assert groups.index("apps") < groups.index("example.com") < groups.index("metrics.k8s.io")
        listed = (await server.ask("GET", "/apis/example.com/v1")).body
        assert [each["name"] for each in listed["resources"]] == ["widgets"]

    run(test)


def test_objects_are_defaulted_pruned_and_validated() -> None:
    async def test(server: Server) -> None:
        made = await server.ask("POST", WIDGETS, widget(spec={"note": "n", "odd": 1}))
        assert (made.status, made.body["spec"], made.warnings) == (
            201,
            {"note": "n", "size": 1},
            ['unknown field "spec.odd"'],
        )
        assert made.body["metadata"]["generation"] == 1
        bad = await server.ask("POST", WIDGETS, widget("x", spec={"size": 10, "note": 3}))
        assert bad.status == 422
        assert {cause["field"]: (cause["reason"], cause["message"]) for cause in bad.body["details"]["causes"]} == {
            "spec.size": (
                "FieldValueInvalid",
                "Invalid value: 10: spec.size in body should be less than or equal to 9",
            ),
            "spec.note": (
                "FieldValueTypeInvalid",
                'Invalid value: "integer": spec.note in body must be of type string: "integer"',
            ),
        }
        strict = await server.ask("POST", f"{WIDGETS}?fieldValidation=Strict", widget("x", spec={"odd": 1}))
        assert (strict.status, strict.message) == (
            400,
            'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.odd"',
        )

    run(test, definition())


def test_lists_and_watches_show_objects_whole() -> None:
    async def test(server: Server) -> None:
        events = await server.watch(f"{WIDGETS}?watch=1")
        await server.ask("POST", WIDGETS, widget(spec={}))
        event = await anext(events)
        assert (event["type"], event["object"]["spec"]) == ("ADDED", {"size": 1})
        await events.aclose()
        listed = (await server.ask("GET", WIDGETS)).body
        assert [(each["kind"], each["apiVersion"]) for each in listed["items"]] == [("Widget", "example.com/v1")]
        assert (await server.ask("GET", "/apis/example.com/v1/widgets")).body["items"] == listed["items"]

    run(test, definition())


def test_stored_objects_get_new_defaults_when_they_are_read() -> None:
    async def test(server: Server) -> None:
        await server.ask("POST", WIDGETS, widget(spec={"note": "old"}))
        before = (await server.ask("GET", WIDGETS)).body
        body = (await server.ask("GET", f"{DEFINITIONS}/widgets.example.com")).body
        fields = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        fields["color"] = {"type": "string", "default": "red"}
        del fields["note"]
        assert (await server.ask("PUT", f"{DEFINITIONS}/widgets.example.com", body)).status == 200
        await asyncio.sleep(1)
        after = (await server.ask("GET", WIDGETS)).body
        assert after["items"][0]["spec"] == {"size": 1, "color": "red"}
        assert after["items"][0]["metadata"]["resourceVersion"] == before["items"][0]["metadata"]["resourceVersion"]
        assert (await server.ask("GET", f"{WIDGETS}/w")).body["spec"] == {"size": 1, "color": "red"}

    run(test, definition())


def test_versions_convert_by_name_and_keep_their_own_schema() -> None:
    two = version(
        "v2", {"type": "object", "properties": {"spec": {"type": "object", "properties": {"b": {"type": "string"}}}}}
    )
    both = definition(version(deprecated=True), two | {"storage": False})

    async def test(server: Server) -> None:
        other = WIDGETS.replace("v1", "v2")
        made = await server.ask("POST", WIDGETS, widget(spec={"note": "n"}))
        assert made.warnings == ["example.com/v1 Widget is deprecated; use example.com/v2 Widget"]
        shown = (await server.ask("GET", f"{other}/w")).body
        assert (shown["apiVersion"], shown["spec"]) == ("example.com/v2", {})
        patch = {"spec": {"b": "x"}}
        changed = await server.ask("PATCH", f"{other}/w", patch, content_type="application/merge-patch+json")
        assert (changed.status, changed.body["spec"]) == (200, {})  # v1 stores it and knows no b
        assert [each["apiVersion"] for each in (await server.ask("GET", other)).body["items"]] == ["example.com/v2"]
        hashes = [(await server.ask("GET", f"/apis/example.com/{each}")).body["resources"][0] for each in ("v1", "v2")]
        assert hashes[0]["storageVersionHash"] == hashes[1]["storageVersionHash"]  # one version is stored
        group = (await server.ask("GET", "/apis/example.com")).body
        assert [each["version"] for each in group["versions"]] == ["v2", "v1"]

    run(test, both)


def test_a_definition_goes_with_all_its_objects() -> None:
    async def test(server: Server) -> None:
        await server.ask("POST", WIDGETS, widget(metadata={"name": "held", "finalizers": ["example.com/hold"]}))
        await server.ask("POST", WIDGETS, widget("free"))
        gone = await server.ask("DELETE", f"{DEFINITIONS}/widgets.example.com")
        assert gone.body["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
        await asyncio.sleep(5)
        assert [each["metadata"]["name"] for each in (await server.ask("GET", WIDGETS)).body["items"]] == ["held"]
        body = (await server.ask("GET", f"{DEFINITIONS}/widgets.example.com")).body
        assert conditions(body)["Terminating"] == ("True", "InstanceDeletionInProgress")
        refused = await server.ask("POST", WIDGETS, widget("new"))
        assert (refused.status, refused.message) == (
            405,
            "create not allowed while custom resource definition is terminating",
        )
        patch = {"metadata": {"finalizers": None}}
        await server.ask("PATCH", f"{WIDGETS}/held", patch, content_type="application/merge-patch+json")
        await asyncio.sleep(10)
        assert (await server.ask("GET", f"{DEFINITIONS}/widgets.example.com")).status == 404
        missing = await server.ask("GET", WIDGETS)
        assert (missing.status, missing.body) == (404, "404 page not found\n")

    run(test, definition())


def test_names_are_given_once() -> None:
    async def test(server: Server) -> None:
        await server.ask("POST", DEFINITIONS, definition(plural="gizmos"))
        body = await established(server, "gizmos.example.com")
        assert conditions(body) == {
            "NamesAccepted": ("False", "ListKindConflict"),
            "Established": ("False", "NotAccepted"),
        }
        assert (await server.ask("GET", WIDGETS.replace("widgets", "gizmos"))).status == 404
        await server.ask("DELETE", f"{DEFINITIONS}/widgets.example.com")
        await asyncio.sleep(5)
        assert (await server.ask("GET", WIDGETS.replace("widgets", "gizmos"))).status == 200

    run(test, definition())


def test_strategic_merge_is_not_for_custom_resources() -> None:
    async def test(server: Server) -> None:
        await server.ask("POST", WIDGETS, widget())
        said = await server.ask("PATCH", f"{WIDGETS}/w", {}, content_type="application/strategic-merge-patch+json")
        assert said.status == 415
        assert said.message == (
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        )

    run(test, definition())


def test_definitions_survive_a_restart() -> None:
    async def test(server: Server) -> None:
        await server.ask("POST", WIDGETS, widget(spec={"size": 2}))
        old = server.app
        again = App(
            Scheme.load(),
            old.core.storage,
            old.clock,
            random.Random(1),
            Options(signing_key(), tokens={"secret": ADMIN}),
        )
        again.extensions.load()
        assert (await Server(again).ask("GET", f"{WIDGETS}/w")).body["spec"] == {"size": 2}

    run(test, definition())


def test_scale_and_status_and_generation() -> None:
    counts = {
        "type": "object",
        "properties": {"replicas": {"type": "integer", "minimum": 0}, "selector": {"type": "string"}},
    }
    paths = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    schema = {"type": "object", "properties": {"spec": counts, "status": counts}}
    scaled = definition(version(schema=schema, subresources={"status": {}, "scale": paths}))

    async def test(server: Server) -> None:
        merge = "application/merge-patch+json"
        made = await server.ask("POST", WIDGETS, widget(spec={}, status={"replicas": 9}))
        assert "status" not in made.body
        missing = await server.ask("GET", f"{WIDGETS}/w/scale")
        assert (missing.status, missing.message) == (404, 'the spec replicas field ".spec.replicas" does not exist')
        await server.ask("PATCH", f"{WIDGETS}/w", {"spec": {"replicas": 2}}, content_type=merge)
        status = {"status": {"replicas": 1, "selector": "a=b"}, "spec": {"replicas": 7}}
        said = await server.ask("PATCH", f"{WIDGETS}/w/status", status, content_type=merge)
        assert (said.body["spec"], said.body["metadata"]["generation"]) == ({"replicas": 2}, 2)
        scale = await server.ask("PATCH", f"{WIDGETS}/w/scale", {"spec": {"replicas": 4}}, content_type=merge)
        assert (scale.body["spec"], scale.body["status"]) == ({"replicas": 4}, {"replicas": 1, "selector": "a=b"})
        wrong = await server.ask("PATCH", f"{WIDGETS}/w/status", {"status": {"replicas": -1}}, content_type=merge)
        assert [cause["field"] for cause in wrong.body["details"]["causes"]] == ["status.replicas"]
        assert (await server.ask("GET", f"{WIDGETS}/w/approval")).status == 404
        refused = await server.ask("DELETE", f"{WIDGETS}/w/status")
        assert (refused.status, refused.message) == (
            405,
            'delete is not supported on resources of kind "widgets.example.com"',
        )

    run(test, scaled)


def test_documents_follow_what_is_served() -> None:
    async def test(server: Server) -> None:
        index = (await server.ask("GET", "/openapi/v3")).body
        assert not any("example.com" in path for path in json.loads(index)["paths"])
        apps = json.loads(index)["paths"]["apis/apps/v1"]
        await server.ask("POST", DEFINITIONS, definition())
        await established(server, "widgets.example.com")
        paths = json.loads((await server.ask("GET", "/openapi/v3")).body)["paths"]
        assert paths["apis/apps/v1"] == apps
        document = (await server.ask("GET", paths["apis/example.com/v1"]["serverRelativeURL"])).body
        schema = document["components"]["schemas"]["com.example.v1.Widget"]
        assert schema["properties"]["spec"]["properties"]["size"]["default"] == 1
        assert schema["properties"]["metadata"]["allOf"] == [
            {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
        ]
        patch = document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"]
        assert "application/strategic-merge-patch+json" not in patch["requestBody"]["content"]
        whole = (await server.ask("GET", "/openapi/v2")).body
        assert (
            "default" not in whole["definitions"]["com.example.v1.Widget"]["properties"]["spec"]["properties"]["size"]
        )
        await server.ask("DELETE", f"{DEFINITIONS}/widgets.example.com")
        await asyncio.sleep(1)
        assert json.loads((await server.ask("GET", "/openapi/v3")).body) == json.loads(index)
        assert "com.example.v1.Widget" not in (await server.ask("GET", "/openapi/v2")).body["definitions"]

    run(test)


def test_tables_and_selectable_fields() -> None:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "description": "how large"},
        {"name": "Notes", "type": "string", "jsonPath": ".spec.note", "priority": 1},
    ]
    shown = definition(version(additionalPrinterColumns=columns, selectableFields=[{"jsonPath": ".spec.note"}]))

    async def test(server: Server) -> None:
        await server.ask("POST", WIDGETS, widget("a", spec={"note": "x"}))
        await server.ask("POST", WIDGETS, widget("b", spec={"size": 3}))
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        table = (await server.ask("GET", WIDGETS, accept=accept)).body
        assert [row["cells"] for row in table["rows"]] == [["a", 1, "x"], ["b", 3, None]]
        assert [column["description"] for column in table["columnDefinitions"]][1:] == [
            "how large",
            "Custom resource definition column (in JSONPath format): .spec.note",
        ]
        found = (await server.ask("GET", f"{WIDGETS}?fieldSelector=spec.note%3Dx")).body
        assert [each["metadata"]["name"] for each in found["items"]] == ["a"]
        refused = await server.ask("GET", f"{WIDGETS}?fieldSelector=spec.size%3D1")
        assert (refused.status, refused.message) == (400, "field label not supported: spec.size")

    async def without(server: Server) -> None:
        refused = await server.ask("GET", f"{WIDGETS}?fieldSelector=spec.note%3Dx")
        assert (refused.status, refused.message) == (400, "field label not supported: spec.note")

    run(test, shown)
    run(without, definition())


def test_pages_of_many() -> None:
    async def test(server: Server) -> None:
        for index in range(7):
            await server.ask("POST", WIDGETS, widget(f"w{index}"))
        names: list[str] = []
        more = ""
        for _ in range(3):
            page = (await server.ask("GET", f"{WIDGETS}?limit=3&continue={more}")).body
            names += [each["metadata"]["name"] for each in page["items"]]
            more = page["metadata"].get("continue", "")
        assert (names, more) == ([f"w{index}" for index in range(7)], "")

    run(test, definition())


def test_protected_groups_need_approval() -> None:
    def protected(**annotations: str) -> dict[str, Any]:
        body = definition(group="foo.k8s.io")
        return body | {"metadata": {"name": "widgets.foo.k8s.io", "annotations": annotations}}

    async def test(server: Server) -> None:
        assert "protected groups must have" in (await server.ask("POST", DEFINITIONS, protected())).message
        wrong = await server.ask("POST", DEFINITIONS, protected(**{"api-approved.kubernetes.io": "sure"}))
        assert 'with either a URL or a reason starting with "unapproved"' in wrong.message
        link = "https://github.com/kubernetes/kubernetes/pull/1"
        await server.ask("POST", DEFINITIONS, protected(**{"api-approved.kubernetes.io": link}))
        body = await established(server, "widgets.foo.k8s.io")
        assert conditions(body)["KubernetesAPIApprovalPolicyConformant"] == ("True", "ApprovedAnnotation")

    run(test)


def test_a_patch_does_not_change_what_an_object_is() -> None:
    async def test(server: Server) -> None:
        await server.ask("POST", WIDGETS, widget())
        patch = {"kind": "Gadget", "apiVersion": "example.com/v9"}
        said = await server.ask("PATCH", f"{WIDGETS}/w", patch, content_type="application/merge-patch+json")
        assert [(cause["field"], cause["message"]) for cause in said.body["details"]["causes"]] == [
            ("kind", 'Invalid value: "Gadget": must be Widget'),
            ("apiVersion", 'Invalid value: "example.com/v9": must be example.com/v1'),
        ]

    run(test, definition())


@pytest.mark.parametrize(
    ("inner", "problem"),
    [
        ({"type": "array", "items": {"type": 5}}, "cannot unmarshal number into Go struct field JSONSchemaProps.type"),
        ({"type": "array", "items": 5}, "json: items: boolean or JSON schema expected"),
        ({"type": "object", "additionalProperties": {"properties": []}}, "cannot unmarshal array"),
        (
            {"type": "object", "properties": {"b": {"type": "array", "items": {"required": "a"}}}},
            "cannot unmarshal string",
        ),
    ],
)
def test_every_schema_is_read_like_one(inner: dict[str, Any], problem: str) -> None:
    async def test(server: Server) -> None:
        schema = {"type": "object", "properties": {"a": inner}}
        said = await server.ask("POST", DEFINITIONS, definition(version(schema=schema)))
        assert said.status == 400
        assert problem in said.message

    run(test)


def test_a_watch_lives_as_long_as_what_it_watches() -> None:
    async def test(server: Server) -> None:
        await server.ask("POST", WIDGETS, widget("a"))
        first = await server.watch(f"{WIDGETS}?watch=1")
        assert (await anext(first))["type"] == "ADDED"
        body = (await server.ask("GET", f"{DEFINITIONS}/widgets.example.com")).body
        body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["more"] = {"type": "string"}
        await server.ask("PUT", f"{DEFINITIONS}/widgets.example.com", body)
        assert [event async for event in first] == []  # to be opened again, under the schema of now
        second = await server.watch(f"{WIDGETS}?watch=1")
        assert (await anext(second))["type"] == "ADDED"
        gone = asyncio.create_task(_types(second))
        await server.ask("DELETE", f"{DEFINITIONS}/widgets.example.com")
        assert await gone == ["DELETED"]

    run(test, definition())


async def _types(events: Any) -> list[str]:
    return [event["type"] async for event in events]


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"kind": None}, 400, "Object 'Kind' is missing in 'object has no kind field '"),
        (
            {"apiVersion": "example.com/v2"},
            400,
            "the API version in the data (example.com/v2) does not match the expected API version (example.com/v1)",
        ),
        ({"kind": "Gadget"}, 422, 'Widget.example.com "w" is invalid: kind: Invalid value: "Gadget": must be Widget'),
    ],
)
def test_a_custom_resource_says_its_own_kind(changes: dict[str, Any], status: int, message: str) -> None:
    async def test(server: Server) -> None:
        said = await server.ask("POST", WIDGETS, {k: v for k, v in (widget() | changes).items() if v is not None})
        assert (said.status, said.body["message"]) == (status, message)

    run(test, definition())
