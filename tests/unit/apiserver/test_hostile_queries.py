"""Query parameters and headers made to hurt: an answer below 500 whatever they say, and Kubernetes' words for numbers."""

from __future__ import annotations

import pytest
from api_core import MAPS, config_map, make_server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.apiserver.http import Stream

PARAMETERS = [
    *(
        "limit",
        "continue",
        "resourceVersion",
        "resourceVersionMatch",
        "timeoutSeconds",
        "labelSelector",
        "fieldSelector",
    ),
    *("watch", "sendInitialEvents", "allowWatchBookmarks", "pretty", "includeObject", "dryRun", "fieldManager"),
    *(
        "fieldValidation",
        "force",
        "gracePeriodSeconds",
        "propagationPolicy",
        "orphanDependents",
        "container",
        "tailLines",
    ),
]
VALUES = [
    *(
        "",
        "0",
        "-1",
        "1",
        "true",
        "9" * 30,
        "9" * 5000,
        "1e9",
        " 5",
        "+5",
        "1_000",
        "٣",
        "\x00",
        "%",
        "a=b",
        "a in (b",
        "!",
    ),
    *(
        "a==b,,c",
        "metadata.name=x",
        "metadata.name=",
        "status.phase!=y",
        "Exact",
        "NotOlderThan",
        "All",
        "Orphan",
        "e30",
        "AAAA",
    ),
    *("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi8ifQ", "=" * 200, "x" * 300, "(" * 1000),
]
ACCEPTS = [
    *(
        "",
        "*/*",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    ),
    *(
        "application/json;q=x",
        ";;;",
        "a" * 3000,
        ",",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "text/html",
    ),
]


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
async def test_no_query_is_our_fault(data: st.DataObject) -> None:
    server = await make_server()
    await server.ask("POST", MAPS, config_map("c"))
    method = data.draw(st.sampled_from(["GET", "GET", "POST", "DELETE", "PUT", "PATCH"]))
    target = data.draw(st.sampled_from([MAPS, f"{MAPS}/c", "/api/v1/pods", "/api/v1/namespaces/shop/pods/p/log"]))
    names = data.draw(st.lists(st.sampled_from(PARAMETERS), min_size=1, max_size=3))
    query = "&".join(f"{name}={data.draw(st.sampled_from(VALUES) | st.text(max_size=5))}" for name in names)
    request = server.request(
        method,
        f"{target}?{query}",
        config_map("c"),
        token="secret",
        content_type="application/merge-patch+json" if method == "PATCH" else "application/json",
        accept=data.draw(st.sampled_from(ACCEPTS)),
    )
    answer = await server.app.handle(request)
    if isinstance(answer, Stream):
        await answer.items.aclose()
    assert not 500 <= getattr(answer, "status", 0) < 504, (method, target, query, getattr(answer, "data", b""))


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("limit=1_000", 'strconv.ParseInt: parsing "1_000": invalid syntax'),
        ("limit=%D9%A3", 'strconv.ParseInt: parsing "٣": invalid syntax'),
        ("timeoutSeconds=99999999999999999999", 'strconv.ParseInt: parsing "99999999999999999999": value out of range'),
        (
            "resourceVersion=99999999999999999999",
            (
                'invalid resource version: resourceVersion: Invalid value: "99999999999999999999": '
                'strconv.ParseUint: parsing "99999999999999999999": value out of range'
            ),
        ),
    ],
)
async def test_numbers(query: str, problem: str) -> None:
    said = await (await make_server()).ask("GET", f"{MAPS}?{query}")
    assert (said.status, said.message) == (400, problem)


async def test_initial_events_of_a_revision_to_come_are_not_there_yet() -> None:
    server = await make_server()
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=99999"
    said = await server.ask("GET", f"{MAPS}?{query}")
    assert (said.status, said.body["reason"]) == (504, "Timeout")
    assert said.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
