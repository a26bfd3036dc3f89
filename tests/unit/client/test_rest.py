"""Which request each verb makes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from wherry.api.resources import DEPLOYMENTS, NAMESPACES, PODS, SERVICE_ACCOUNTS
from wherry.api.types import Obj
from wherry.client.rest import Client


class Recorder:
    """A transport that answers with what it was asked."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Obj:
        asked = {"do": f"{method} {path}", "query": dict(query or {}), "body": body, "type": content_type}
        usual = {"query": {}, "body": None, "type": "application/json"}
        return {key: value for key, value in asked.items() if key not in usual or value != usual[key]}

    @asynccontextmanager
    async def stream(self, path: str, *, query: Mapping[str, str] | None = None) -> AsyncIterator[AsyncIterator[Obj]]:
        async def events() -> AsyncIterator[Obj]:
            yield {"do": path, "query": dict(query or {})}

        yield events()

    async def close(self) -> None: ...


@pytest.fixture
def client() -> Client:
    return Client(Recorder())


POD = {"metadata": {"name": "p", "namespace": "shop"}}


async def test_reads(client: Client) -> None:
    assert await client.get(PODS, "p", "shop") == {"do": "GET /api/v1/namespaces/shop/pods/p"}
    assert await client.get(NAMESPACES, "shop") == {"do": "GET /api/v1/namespaces/shop"}
    assert await client.get(DEPLOYMENTS, "d", "shop", "scale") == {
        "do": "GET /apis/apps/v1/namespaces/shop/deployments/d/scale"
    }
    assert await client.list(PODS) == {"do": "GET /api/v1/pods"}
    assert await client.list(
        PODS, "shop", labels="a=b", fields="spec.nodeName=n", limit=5, continue_="x", resource_version="7"
    ) == {
        "do": "GET /api/v1/namespaces/shop/pods",
        "query": {
            "labelSelector": "a=b",
            "fieldSelector": "spec.nodeName=n",
            "limit": "5",
            "continue": "x",
            "resourceVersion": "7",
        },
    }


async def test_writes(client: Client) -> None:
    assert await client.create(PODS, POD) == {"do": "POST /api/v1/namespaces/shop/pods", "body": POD}
    assert await client.create(SERVICE_ACCOUNTS, {}, "shop", "token", "default") == {
        "do": "POST /api/v1/namespaces/shop/serviceaccounts/default/token",
        "body": {},
    }
    assert await client.update(PODS, POD, "status") == {
        "do": "PUT /api/v1/namespaces/shop/pods/p/status",
        "body": POD,
    }
    patched = await client.patch(PODS, "p", [{"op": "test"}], "shop", type="json", subresource="status")
    assert patched == {
        "do": "PATCH /api/v1/namespaces/shop/pods/p/status",
        "body": [{"op": "test"}],
        "type": "application/json-patch+json",
    }
    assert (await client.patch(PODS, "p", {"a": 1}, "shop"))["type"] == "application/merge-patch+json"
    assert (await client.patch(PODS, "p", {"a": 1}, "shop", type="strategic"))["type"] == (
        "application/strategic-merge-patch+json"
    )


async def test_deletes(client: Client) -> None:
    options = {"apiVersion": "v1", "kind": "DeleteOptions"}
    assert await client.delete(PODS, "p", "shop") == {"do": "DELETE /api/v1/namespaces/shop/pods/p", "body": options}
    deleted = await client.delete(
        PODS, "p", "shop", grace_seconds=0, uid="u", resource_version="7", propagation="Foreground"
    )
    assert deleted["body"] == {
        **options,
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u", "resourceVersion": "7"},
        "propagationPolicy": "Foreground",
    }
    assert await client.delete_collection(PODS, "shop", labels="a=b") == {
        "do": "DELETE /api/v1/namespaces/shop/pods",
        "query": {"labelSelector": "a=b"},
    }


async def test_watch(client: Client) -> None:
    async with client.watch(PODS, "shop", resource_version="7", labels="a=b") as events:
        assert [event async for event in events] == [
            {
                "do": "/api/v1/namespaces/shop/pods",
                "query": {
                    "labelSelector": "a=b",
                    "resourceVersion": "7",
                    "allowWatchBookmarks": "true",
                    "watch": "true",
                },
            }
        ]
