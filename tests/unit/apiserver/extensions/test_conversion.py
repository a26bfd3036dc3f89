"""Conversion by webhook, over a fake that keeps the contract of `outward.Outward`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from api_core import Server
from custom_api import DEFINITIONS, WIDGETS, definition, serving, version, widget

from wherry.aio.virtual import run_virtual
from wherry.apiserver.outward import OutwardError, Reply, Target

OTHER = WIDGETS.replace("v1", "v2")
OPEN = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
CONFIG = {"service": {"namespace": "shop", "name": "converter", "path": "/convert"}}
WEBHOOK = {"strategy": "Webhook", "webhook": {"clientConfig": CONFIG, "conversionReviewVersions": ["v1"]}}
Change = Callable[[dict[str, Any]], dict[str, Any]]


class Hook:
    """Moves spec.size (v1) to spec.extent (v2) and back."""

    def __init__(self) -> None:
        self.reviews: list[dict[str, Any]] = []
        self.spoil: Change = lambda review: review

    async def request(
        self, target: Target, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        assert (target.base, method, path, timeout) == (
            "https://converter.shop.svc:443/convert",
            "POST",
            "?timeout=30s",
            30,
        )
        review = json.loads(body)
        self.reviews.append(review)
        await asyncio.sleep(0.01)
        asked = review["request"]
        response = {
            "uid": asked["uid"],
            "result": {"status": "Success"},
            "convertedObjects": [self._convert(each, asked["desiredAPIVersion"]) for each in asked["objects"]],
        }
        return Reply(200, {}, json.dumps(self.spoil(review | {"response": response})).encode())

    def _convert(self, obj: dict[str, Any], api_version: str) -> dict[str, Any]:
        names = ("size", "extent") if api_version.endswith("v2") else ("extent", "size")
        spec = {names[1] if key == names[0] else key: value for key, value in obj["spec"].items()}
        return obj | {"apiVersion": api_version, "spec": spec}


def run(test: Callable[[Server, Hook], Awaitable[None]]) -> None:
    both = definition(version(schema=OPEN), version("v2", OPEN) | {"storage": False}, conversion=WEBHOOK)

    async def main() -> None:
        hook = Hook()
        async with serving() as server:
            server.app.core.outward = hook
            assert (await server.ask("POST", DEFINITIONS, both)).status == 201
            await asyncio.sleep(1)
            await test(server, hook)

    run_virtual(main())


def test_a_webhook_converts_both_ways() -> None:
    async def test(server: Server, hook: Hook) -> None:
        await server.ask("POST", WIDGETS, widget(spec={"size": 1}))
        assert hook.reviews == []  # it is the version that is stored
        shown = (await server.ask("GET", f"{OTHER}/w")).body
        assert (shown["apiVersion"], shown["spec"]) == ("example.com/v2", {"extent": 1})
        made = await server.ask("POST", OTHER, widget("two", spec={"extent": 2}) | {"apiVersion": "example.com/v2"})
        assert (made.status, made.body["spec"]) == (201, {"extent": 2})
        assert (await server.ask("GET", f"{WIDGETS}/two")).body["spec"] == {"size": 2}
        patch = {"spec": {"extent": 5}}
        patched = await server.ask("PATCH", f"{OTHER}/w", patch, content_type="application/merge-patch+json")
        assert (patched.status, patched.body["spec"]) == (200, {"extent": 5})
        events = await server.watch(f"{OTHER}?watch=1")
        assert [(await anext(events))["object"]["spec"] for _ in range(2)] == [{"extent": 2}, {"extent": 5}]
        await events.aclose()

    run(test)


def test_a_list_asks_once_and_what_was_asked_is_known() -> None:
    async def test(server: Server, hook: Hook) -> None:
        for index in range(5):
            await server.ask("POST", WIDGETS, widget(f"w{index}", spec={"size": index}))
        for _ in range(3):
            items = (await server.ask("GET", OTHER)).body["items"]
            assert [each["spec"] for each in items] == [{"extent": index} for index in range(5)]
        assert [len(review["request"]["objects"]) for review in hook.reviews] == [5]

    run(test)


def _metadata(review: dict[str, Any], **changes: Any) -> dict[str, Any]:
    for obj in review["response"]["convertedObjects"]:
        obj["metadata"] |= changes
    return review


def _response(review: dict[str, Any], **changes: Any) -> dict[str, Any]:
    review["response"] |= changes
    return review


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda review: _metadata(review, name="other"), "metadata.name must not change"),
        (lambda review: _response(review, uid="other"), 'expected response.uid="'),
        (lambda review: _response(review, convertedObjects=[]), "expected 1 converted objects, got 0"),
        (lambda review: _response(review, convertedObjects=[3]), "invalid converted object at index 0"),
        (lambda review: _response(review, result={"status": "Failure", "message": "no way"}), "failed: no way"),
        (lambda review: {"kind": "Pod"}, "expected a ConversionReview"),
        (lambda review: review | {"response": None}, "no response provided"),
    ],
)
def test_answers_are_distrusted(spoil: Change, complaint: str) -> None:
    async def test(server: Server, hook: Hook) -> None:
        await server.ask("POST", WIDGETS, widget(spec={"size": 1}))
        hook.spoil = spoil
        said = await server.ask("GET", f"{OTHER}/w")
        assert said.status == 500
        assert complaint in said.message
        hook.spoil = lambda review: review
        assert (await server.ask("GET", f"{OTHER}/w")).status == 200

    run(test)


def test_labels_may_change_and_nothing_else_of_metadata() -> None:
    async def test(server: Server, hook: Hook) -> None:
        await server.ask("POST", WIDGETS, widget(spec={"size": 1}))
        hook.spoil = lambda review: _metadata(review, labels={"a": "b"}, generation=7, finalizers=["x.y/z"])
        metadata = (await server.ask("GET", f"{OTHER}/w")).body["metadata"]
        assert (metadata["labels"], metadata["generation"], metadata.get("finalizers")) == ({"a": "b"}, 1, None)

    run(test)


def test_a_webhook_that_is_not_there() -> None:
    class Nobody(Hook):
        async def request(self, *_: Any) -> Reply:
            raise OutwardError(
                "dial tcp 10.96.0.9:443: connect: connection refused", "POST", "https://c.shop.svc:443/convert"
            )

    async def test(server: Server, hook: Hook) -> None:
        await server.ask("POST", WIDGETS, widget(spec={"size": 1}))
        said = await server.ask("GET", f"{OTHER}/w")
        assert (said.status, said.body["reason"]) == (500, "InternalError")
        assert said.message.endswith(
            'conversion webhook for example.com/v1, Kind=Widget failed: Post "https://c.shop.svc:443/convert": '
            "dial tcp 10.96.0.9:443: connect: connection refused"
        )
        assert (await server.ask("GET", f"{WIDGETS}/w")).status == 200

    both = definition(version(schema=OPEN), version("v2", OPEN) | {"storage": False}, conversion=WEBHOOK)

    async def main() -> None:
        async with serving() as server:
            server.app.core.outward = Nobody()
            await server.ask("POST", DEFINITIONS, both)
            await asyncio.sleep(1)
            await test(server, Nobody())

    run_virtual(main())
