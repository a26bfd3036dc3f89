"""Random histories over HTTP's handlers: a watch from any revision on top of its list is the newest list, and of writers who
hold the same resourceVersion exactly one wins."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from api_core import Server, config_map, make_server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MAPS = "/api/v1/namespaces/shop/configmaps"
MERGE = "application/merge-patch+json"
NAMES = ["a", "b", "c"]
DONE = "zz"
STEPS = st.lists(st.tuples(st.sampled_from(["make", "change", "label", "drop"]), st.sampled_from(NAMES)), max_size=12)
QUERIES = st.sampled_from(["", "&labelSelector=t%3Dx", "&fieldSelector=metadata.name%3Da"])
quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


async def step(server: Server, verb: str, name: str, number: int) -> None:
    path = f"{MAPS}/{name}"
    if verb == "make":
        await server.ask("POST", MAPS, config_map(name, n=str(number)))
    elif verb == "drop":
        await server.ask("DELETE", path)
    else:
        label = {"t": "x" if number % 2 else None}
        patch = {"metadata": {"labels": label}} if verb == "label" else {"data": {"n": str(number)}}
        await server.ask("PATCH", path, patch, content_type=MERGE)


async def listed(server: Server, query: str) -> tuple[dict[str, Any], str]:
    body = (await server.ask("GET", f"{MAPS}?limit=500{query}")).body
    return {item["metadata"]["name"]: item for item in body["items"]}, body["metadata"]["resourceVersion"]


@quick
@given(STEPS, QUERIES)
async def test_list_and_watch_from_any_revision_is_a_fresh_list(history: list[tuple[str, str]], query: str) -> None:
    server = await make_server()
    seen = [await listed(server, query)]
    for number, (verb, name) in enumerate(history):
        await step(server, verb, name, number)
        seen.append(await listed(server, query))
    # What every watch sees last: an object that all of these selectors choose, which is made once the history is over.
    mark = {**config_map(DONE), "metadata": {"name": DONE, "labels": {"t": "x"}}}
    await server.ask("POST", MAPS, mark)
    last = await server.ask("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"t": "x"}}}, content_type=MERGE)
    if last.status == 404:
        made = {**config_map("a"), "metadata": {"name": "a", "labels": {"t": "x"}}}
        await server.ask("POST", MAPS, made)
    expected = (await listed(server, query))[0]
    newest = max(int(each["metadata"]["resourceVersion"]) for each in expected.values())
    for items, revision in seen:
        state = dict(items)
        events = await server.watch(f"{MAPS}?watch=1{query}&resourceVersion={revision}")
        behind = int(revision) < newest
        while behind:
            event = await asyncio.wait_for(anext(events), 5)  # one that never comes is a failure
            body = event["object"]
            behind = int(body["metadata"]["resourceVersion"]) < newest
            name = body["metadata"]["name"]
            assert (event["type"] == "ADDED") == (name not in state), event
            if event["type"] == "DELETED":
                del state[name]
            else:
                state[name] = {key: value for key, value in body.items() if key not in ("kind", "apiVersion")}
        await events.aclose()
        assert state == expected


@pytest.mark.parametrize("seed", range(5))
async def test_of_writers_with_one_version_one_wins(seed: int) -> None:
    server, luck = await make_server(), random.Random(seed)
    await server.ask("POST", MAPS, config_map("c", n="0"))
    for turn in range(10):
        before = (await server.ask("GET", f"{MAPS}/c")).body
        version = before["metadata"]["resourceVersion"]

        async def write(who: int, version: str = version, turn: int = turn) -> int:
            for _ in range(luck.randrange(3)):
                await asyncio.sleep(0)
            changed = {"data": {"n": f"{turn}-{who}"}}
            if who % 3 == 0:
                patch = {**changed, "metadata": {"resourceVersion": version}}
                return (await server.ask("PATCH", f"{MAPS}/c", patch, content_type=MERGE)).status
            if who % 3 == 1:
                options = {"preconditions": {"resourceVersion": version}, "dryRun": ["All"]}
                return (await server.ask("DELETE", f"{MAPS}/c", options)).status
            whole = {**config_map("c"), **changed, "metadata": {"name": "c", "resourceVersion": version}}
            return (await server.ask("PUT", f"{MAPS}/c", whole)).status

        writers = luck.sample(range(12), 6)
        answers = dict(zip(writers, await asyncio.gather(*map(write, writers)), strict=True))
        won = [who for who, status in answers.items() if status == 200 and who % 3 != 1]
        assert len(won) == (1 if any(who % 3 != 1 for who in writers) else 0)
        assert set(answers.values()) <= {200, 409}
        after = (await server.ask("GET", f"{MAPS}/c")).body
        assert [after["data"]["n"]] == ([f"{turn}-{won[0]}"] if won else [before["data"]["n"]])
