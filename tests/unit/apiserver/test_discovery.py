"""Discovery says what a running 1.36 says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from api_core import make_server

from wherry.api.scheme import Scheme
from wherry.apiserver.discovery import Discovery, aggregated_media_type, aggregated_version
from wherry.apiserver.http import Response
from wherry.apiserver.serving import Serving

REFERENCE = Path(__file__).parents[2] / "reference"
V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.fixture(scope="module")
def discovery() -> Discovery:
    return Discovery(Serving(Scheme.load()))


def documents() -> list[tuple[str, Any]]:
    recorded: dict[str, Any] = json.loads((REFERENCE / "discovery.json").read_text())
    return list(recorded.items())


@pytest.mark.parametrize(("path", "body"), documents(), ids=[path for path, _ in documents()])
def test_documents_are_those_recorded(discovery: Discovery, path: str, body: Any) -> None:
    document = discovery.document(path)
    assert document is not None
    document.pop("serverAddressByClientCIDRs", None)
    assert document == body


def test_groups_in_order_with_what_is_served_but_not_stored(discovery: Discovery) -> None:
    names = [group["name"] for group in discovery.group_list["groups"]]
    assert names[:2] == ["apiregistration.k8s.io", "apps"]
    assert names[-1] == "metrics.k8s.io"
    metrics = discovery.document("/apis/metrics.k8s.io/v1beta1")
    assert metrics is not None
    assert [(entry["name"], entry["kind"], entry["verbs"]) for entry in metrics["resources"]] == [
        ("nodes", "NodeMetrics", ["get", "list"]),
        ("pods", "PodMetrics", ["get", "list"]),
    ]
    assert "storageVersionHash" not in metrics["resources"][0]


@pytest.mark.parametrize("path", ["/apis/nope", "/apis/apps/v2", "/api/v2", "/apis/apps/v1/x", "/"])
def test_nothing_elsewhere(discovery: Discovery, path: str) -> None:
    assert discovery.document(path) is None


def test_a_trailing_slash_changes_nothing(discovery: Discovery) -> None:
    assert discovery.document("/api/v1/") == discovery.document("/api/v1")


def test_aggregated(discovery: Discovery) -> None:
    core = discovery.document("/api", "v2")
    assert core is not None
    assert (core["kind"], core["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    (legacy,) = core["items"]
    assert legacy["metadata"] == {"creationTimestamp": None}
    pods = next(entry for entry in legacy["versions"][0]["resources"] if entry["resource"] == "pods")
    assert pods["responseKind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert (pods["scope"], pods["singularResource"], pods["shortNames"]) == ("Namespaced", "pod", ["po"])
    eviction = next(sub for sub in pods["subresources"] if sub["subresource"] == "eviction")
    assert eviction["responseKind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}
    groups = discovery.document("/apis", "v2beta1")
    assert groups is not None
    assert groups["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    assert [item["metadata"]["name"] for item in groups["items"]] == [
        group["name"] for group in discovery.group_list["groups"]
    ]


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        (f"{V2},{V2.replace('v2', 'v2beta1')},application/json", "v2"),
        (f"{V2.replace('v=v2', 'v=v2beta1')},application/json", "v2beta1"),
        (f"{V2.replace('v=v2', 'v=v9')},application/json", None),
        (f"application/json,{V2}", None),
        ("application/json", None),
        ("*/*", None),
        ("", None),
        (f"application/vnd.kubernetes.protobuf,{V2}", "v2"),
    ],
)
def test_who_gets_the_aggregated_form(accept: str, version: str | None) -> None:
    assert aggregated_version(accept) == version


def test_media_type() -> None:
    assert aggregated_media_type("v2") == V2


@pytest.mark.parametrize("version", Scheme.versions())
def test_every_version(version: str) -> None:
    discovery = Discovery(Scheme.load(version), ())
    for group in discovery.group_list["groups"]:
        for entry in group["versions"]:
            document = discovery.document(f"/apis/{entry['groupVersion']}")
            assert document is not None
            assert document["resources"]


async def test_who_has_a_document_is_told_so() -> None:
    """ETag and If-None-Match of aggregated discovery and OpenAPI, as client-go's caches use them."""
    server = await make_server()
    accept = V2
    for path in ("/api", "/apis", "/openapi/v2", "/openapi/v3/apis/apps/v1"):
        first = await server.ask("GET", path, accept=accept)
        tag = first.headers["ETag"]
        assert (first.status, first.headers["Vary"], len(tag)) == (200, "Accept", 130)
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await server.app.handle(
                server.request("GET", path, None, token="secret", content_type="", accept=accept, if_none_match=known)
            )
            assert isinstance(again, Response)
            assert (again.status, again.data, again.headers["ETag"]) == (304, b"", tag), (path, known)
        assert (await server.ask("GET", path, accept=accept, if_none_match='"other"')).status == 200
