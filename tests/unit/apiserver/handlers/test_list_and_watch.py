# ruff: noqa: E501 (a recorded text reads better on one line)
from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from api_core import MAPS, Server, config_map, make_server

from wherry.aio.virtual import run_virtual

MERGE = "application/merge-patch+json"


async def with_maps(count: int = 3) -> Server:
    server = await make_server()
    for i in range(1, count + 1):
        body = config_map(f"c{i}", n=str(i))
        body["metadata"]["labels"] = {"t": "x", "n": str(i)}
        assert (await server.ask("POST", MAPS, body)).status == 201
    return server


def names(listed: Any) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


# -- list


async def test_items_are_as_stored_without_their_kind() -> None:
    server = await with_maps()
    listed = (await server.ask("GET", MAPS)).body
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    one = (await server.ask("GET", f"{MAPS}/c1")).body
    assert listed["items"][0] == {key: value for key, value in one.items() if key not in ("kind", "apiVersion")}


async def test_a_list_that_is_asked_again_comes_from_the_same_bytes_and_is_never_stale() -> None:
    server = await with_maps()
    for _ in range(3):
        assert names((await server.ask("GET", MAPS)).body) == ["c1", "c2", "c3"]
    await server.ask("POST", MAPS, config_map("c4"))
    assert names((await server.ask("GET", MAPS)).body) == ["c1", "c2", "c3", "c4"]
    before = (await server.ask("GET", MAPS)).body["metadata"]["resourceVersion"]
    await server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    after = (await server.ask("GET", MAPS)).body["metadata"]["resourceVersion"]
    assert int(after) > int(before)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("labelSelector=n in (1,3)", ["c1", "c3"]),
        ("labelSelector=t%3Dx,n!%3D2", ["c1", "c3"]),
        ("fieldSelector=metadata.name%3Dc2", ["c2"]),
        ("fieldSelector=metadata.name%3Dnope", []),
        ("fieldSelector=metadata.name!%3Dc2,metadata.namespace%3Dshop", ["c1", "c3"]),
        ("fieldSelector=metadata.name%3Dc2&labelSelector=n%3D1", []),
    ],
)
async def test_selectors(query: str, expected: list[str]) -> None:
    server = await with_maps()
    assert names((await server.ask("GET", f"{MAPS}?{query}")).body) == expected


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("fieldSelector=data.a%3D1", 400, '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"'),
        ("fieldSelector=metadata.name", 400, "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        ("resourceVersion=abc", 400, 'invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax'),
        ("limit=abc", 400, 'strconv.ParseInt: parsing "abc": invalid syntax'),
        ("resourceVersionMatch=Exact", 422, 'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided'),
        ("sendInitialEvents=true", 422, 'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list'),
        ("continue=garbage", 400, "invalid continue token: continue key is not valid"),
    ],
)  # fmt: skip
async def test_questions_that_make_no_sense(query: str, status: int, message: str) -> None:
    server = await with_maps()
    said = await server.ask("GET", f"{MAPS}?{query}")
    assert (said.status, said.message) == (status, message)


async def test_pages_are_of_one_snapshot() -> None:
    server = await with_maps(5)
    first = (await server.ask("GET", f"{MAPS}?limit=2")).body
    assert names(first) == ["c1", "c2"]
    assert first["metadata"]["remainingItemCount"] == 3
    await server.ask("DELETE", f"{MAPS}/c3")
    await server.ask("POST", MAPS, config_map("c2b"))
    second = (await server.ask("GET", f"{MAPS}?limit=2&continue={first['metadata']['continue']}")).body
    assert names(second) == ["c3", "c4"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    third = (await server.ask("GET", f"{MAPS}?limit=2&continue={second['metadata']['continue']}")).body
    assert names(third) == ["c5"]
    assert "continue" not in third["metadata"]


async def test_a_page_whose_snapshot_is_gone() -> None:
    server = await with_maps(3)
    first = (await server.ask("GET", f"{MAPS}?limit=2")).body
    await server.ask("POST", MAPS, config_map("c9"))
    await server.app.core.storage.compact(server.app.core.storage.revision)
    said = await server.ask("GET", f"{MAPS}?limit=2&continue={first['metadata']['continue']}")
    assert (said.status, said.body["reason"]) == (410, "Expired")
    again = (await server.ask("GET", f"{MAPS}?limit=9&continue={said.body['metadata']['continue']}")).body
    assert names(again) == ["c3", "c9"]


async def test_the_past_and_the_future() -> None:
    server = await with_maps(3)
    second = (await server.ask("GET", f"{MAPS}/c2")).body["metadata"]["resourceVersion"]
    exact = (await server.ask("GET", f"{MAPS}?resourceVersion={second}&resourceVersionMatch=Exact")).body
    assert names(exact) == ["c1", "c2"]
    assert exact["metadata"]["resourceVersion"] == second
    assert names((await server.ask("GET", f"{MAPS}?resourceVersion={second}")).body) == ["c1", "c2", "c3"]
    said = await server.ask("GET", f"{MAPS}?resourceVersion=99999")
    assert (said.status, said.body["reason"], said.headers["Retry-After"]) == (504, "Timeout", "1")


async def test_other_forms() -> None:
    server = await with_maps(1)
    table = (await server.ask("GET", MAPS, accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json")).body
    assert table["kind"] == "Table"
    assert table["rows"][0]["cells"][:2] == ["c1", 1]
    partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    listed = (await server.ask("GET", MAPS, accept=partial)).body
    assert listed["items"][0]["kind"] == "PartialObjectMetadata"
    assert "data" not in listed["items"][0]
    said = await server.ask("GET", f"{MAPS}/c1", accept=partial)
    assert said.status == 406
    said = await server.ask("GET", f"{MAPS}/c1", accept="application/yaml")
    assert said.content_type == "application/yaml"
    assert said.body.startswith("apiVersion: v1\ndata:\n")
    said = await server.ask("GET", f"{MAPS}/c1", accept="text/html")
    assert said.message.startswith("406: Not Acceptable")
    said = await server.ask("GET", f"{MAPS}/c1", user_agent="curl/8")
    assert (
        await server.app.handle(
            server.request("GET", f"{MAPS}/c1", None, token="secret", content_type="", user_agent="curl/8")
        )
    ).data.startswith(b'{\n  "kind"')  # type: ignore[union-attr]


# -- watch


async def take(events: Any, count: int) -> list[tuple[str, str]]:
    found = []
    async for event in events:
        found.append((event["type"], event["object"]["metadata"].get("name", "")))
        if len(found) == count:
            break
    return found


async def test_from_now_on_with_what_is_there() -> None:
    server = await with_maps(2)
    events = await server.watch(f"{MAPS}?watch=1")
    assert await take(events, 2) == [("ADDED", "c1"), ("ADDED", "c2")]
    await events.aclose()


async def test_resuming_misses_nothing() -> None:
    server = await with_maps(1)
    version = (await server.ask("GET", MAPS)).body["metadata"]["resourceVersion"]
    await server.ask("PATCH", f"{MAPS}/c1", {"data": {"n": "9"}}, content_type=MERGE)
    await server.ask("POST", MAPS, config_map("d"))
    await server.ask("DELETE", f"{MAPS}/d")
    events = await server.watch(f"{MAPS}?watch=1&resourceVersion={version}")
    assert await take(events, 3) == [("MODIFIED", "c1"), ("ADDED", "d"), ("DELETED", "d")]
    await events.aclose()


async def test_objects_come_and_go_for_a_selector() -> None:
    server = await with_maps(1)
    version = (await server.ask("GET", MAPS)).body["metadata"]["resourceVersion"]
    for labels in ({"t": "y"}, {"t": "x"}, {"u": "v"}):
        await server.ask("PATCH", f"{MAPS}/c1", {"metadata": {"labels": labels}}, content_type=MERGE)
    events = await server.watch(f"{MAPS}?watch=1&labelSelector=t%3Dx&resourceVersion={version}")
    found = []
    async for event in events:
        found.append(
            (event["type"], event["object"]["metadata"]["labels"], event["object"]["metadata"]["resourceVersion"])
        )
        if len(found) == 3:
            break
    await events.aclose()
    newest = int(found[0][2])
    assert [(kind, labels) for kind, labels, _ in found] == [
        ("DELETED", {"t": "x", "n": "1"}),  # its last matching state, at the revision at which it stopped matching
        ("ADDED", {"t": "x", "n": "1"}),
        ("MODIFIED", {"t": "x", "n": "1", "u": "v"}),
    ]
    assert [int(version) for _, _, version in found] == [newest, newest + 1, newest + 2]


async def test_too_old_a_revision_is_an_error_event() -> None:
    server = await with_maps(3)
    await server.app.core.storage.compact(server.app.core.storage.revision)
    events = await server.watch(f"{MAPS}?watch=1&resourceVersion=1")
    (event,) = [event async for event in events]
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: 1 (")


def test_bookmarks_and_the_deadline() -> None:
    async def main() -> None:
        server = await with_maps(1)
        version = (await server.ask("GET", MAPS)).body["metadata"]["resourceVersion"]
        query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds=150&resourceVersion={version}"
        events = await server.watch(f"{MAPS}?{query}")
        started = asyncio.get_running_loop().time()
        await server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
        found = [(event["type"], event["object"]) async for event in events]
        assert [kind for kind, _ in found] == ["BOOKMARK"] * 3
        assert asyncio.get_running_loop().time() - started == pytest.approx(150, abs=1)
        newest = str(server.app.core.storage.revision)
        assert found[-1][1] == {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": newest}}

    run_virtual(main())


def test_without_bookmarks_a_quiet_watch_only_ends() -> None:
    async def main() -> None:
        server = await with_maps(1)
        version = (await server.ask("GET", MAPS)).body["metadata"]["resourceVersion"]
        events = await server.watch(f"{MAPS}?watch=1&resourceVersion={version}&timeoutSeconds=5")
        assert [event async for event in events] == []

    run_virtual(main())


async def test_initial_events_end_with_a_bookmark() -> None:
    server = await with_maps(2)
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = await server.watch(f"{MAPS}?{query}")
    found = []
    async for event in events:
        found.append(event)
        if event["type"] == "BOOKMARK":
            break
    await events.aclose()
    assert [event["type"] for event in found] == ["ADDED", "ADDED", "BOOKMARK"]
    assert found[-1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_as_kubectl_watches() -> None:
    server = await with_maps(1)
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    events = await server.watch(f"{MAPS}?watch=1", accept=accept)
    await server.ask("POST", MAPS, config_map("d"))
    tables = []
    async for event in events:
        tables.append(event["object"])
        if len(tables) == 2:
            break
    await events.aclose()
    assert [table["rows"][0]["cells"][0] for table in tables] == ["c1", "d"]
    assert tables[0]["columnDefinitions"]
    assert not tables[1]["columnDefinitions"]


async def test_an_event_is_encoded_once_for_all_watchers() -> None:
    server = await with_maps(0)
    version = server.app.core.storage.revision
    request = server.request("GET", f"{MAPS}?watch=1&resourceVersion={version}", None, token="secret", content_type="")
    streams = [await server.app.handle(request) for _ in range(5)]
    await server.ask("POST", MAPS, config_map("d"))
    frames = [await anext(stream.items) for stream in streams]  # type: ignore[union-attr]
    assert len({id(frame) for frame in frames}) == 1
    assert json.loads(frames[0])["object"]["metadata"]["name"] == "d"
    for stream in streams:
        await stream.items.aclose()  # type: ignore[union-attr]


async def test_a_name_is_watched_by_its_path() -> None:
    server = await with_maps(2)
    events = await server.watch(f"{MAPS}/c2?watch=1")
    assert await take(events, 1) == [("ADDED", "c2")]
    await events.aclose()


def test_continue_tokens_are_kubernetes_own() -> None:
    from wherry.apiserver.options import Continue, decode_continue

    token = Continue(5, "shop/c\0").encode()
    assert json.loads(base64.urlsafe_b64decode(token + "==")) == {"v": "meta.k8s.io/v1", "rv": 5, "start": "shop/c\0"}
    assert decode_continue(token) == Continue(5, "shop/c\0")
