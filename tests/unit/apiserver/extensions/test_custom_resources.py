from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from api_core import Server
from custom_api import DEFINITIONS, WIDGETS, conditions, definition, established, serving, version, widget

from wherry.aio.virtual import run_virtual


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
        groups = (await server.ask("GET", "/apis")).body["groups"]
        assert groups[-2]["name"] == "example.com"  # before metrics.k8s.io, whose priority is lower
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
