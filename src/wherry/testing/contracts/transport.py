"""What every way to the API server promises, as tests.

    class TestInProcess(TransportContract):
        @pytest.fixture
        async def transport(self): yield InProcessTransport(...)

The server behind it has the namespace `default`, and no ConfigMap of ours in it; the caller may do everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from wherry.api.errors import StatusError
from wherry.api.resources import CONFIG_MAPS
from wherry.api.types import Obj
from wherry.client.rest import Client
from wherry.client.transport import Transport


def config_map(name: str, **labels: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "data": {"text": "é\n"},
    }


async def take(events: AsyncIterator[Obj], count: int) -> list[tuple[str, str]]:
    """(type, name) of the next `count` events, bookmarks aside."""
    taken: list[tuple[str, str]] = []
    async with asyncio.timeout(10):
        while len(taken) < count:
            event = await anext(events)
            if event["type"] != "BOOKMARK":
                taken.append((event["type"], event["object"]["metadata"]["name"]))
    return taken


class TransportContract:
    """Subclass with a name that begins with Test and define the fixture `transport`."""

    @pytest.fixture
    def client(self, transport: Transport) -> Client:
        return Client(transport)

    async def test_an_object_is_created_read_changed_and_deleted(self, client: Client) -> None:
        sent = config_map("a", app="cart")
        created = await client.create(CONFIG_MAPS, sent, "default")
        assert sent == config_map("a", app="cart"), "the caller's object is its own"
        assert created["data"] == {"text": "é\n"}
        assert (created["kind"], created["metadata"]["namespace"]) == ("ConfigMap", "default")
        assert await client.get(CONFIG_MAPS, "a", "default") == created
        updated = await client.update(CONFIG_MAPS, {**created, "data": {"x": "1"}})
        assert updated["metadata"]["resourceVersion"] != created["metadata"]["resourceVersion"]
        patched = await client.patch(CONFIG_MAPS, "a", {"data": {"x": None, "y": "2"}}, "default")
        assert patched["data"] == {"y": "2"}
        await client.delete(CONFIG_MAPS, "a", "default")
        with pytest.raises(StatusError) as caught:
            await client.get(CONFIG_MAPS, "a", "default")
        assert caught.value.code == 404

    async def test_a_refusal_is_a_status_error(self, client: Client) -> None:
        with pytest.raises(StatusError) as caught:
            await client.get(CONFIG_MAPS, "none", "default")
        assert (caught.value.code, caught.value.reason) == (404, "NotFound")
        assert caught.value.message == 'configmaps "none" not found'
        assert caught.value.details == {"name": "none", "kind": "configmaps"}
        created = await client.create(CONFIG_MAPS, config_map("b"), "default")
        with pytest.raises(StatusError) as caught:
            await client.create(CONFIG_MAPS, config_map("b"), "default")
        assert (caught.value.code, caught.value.reason) == (409, "AlreadyExists")
        await client.update(CONFIG_MAPS, {**created, "data": {}})
        with pytest.raises(StatusError) as caught:
            await client.update(CONFIG_MAPS, {**created, "data": {"z": "1"}})
        assert (caught.value.code, caught.value.reason) == (409, "Conflict")

    async def test_an_unknown_path_is_a_status_error(self, transport: Transport) -> None:
        with pytest.raises(StatusError) as caught:
            await transport.request("GET", "/no/such/path")
        assert caught.value.code == 404

    async def test_a_list_selects_by_label(self, client: Client) -> None:
        for name, app in (("l1", "cart"), ("l2", "user"), ("l3", "web")):
            await client.create(CONFIG_MAPS, config_map(name, app=app), "default")
        found = await client.list(CONFIG_MAPS, "default", labels="app in (cart,user),app!=user")
        assert [item["metadata"]["name"] for item in found["items"]] == ["l1"]
        assert found["kind"] == "ConfigMapList"
        assert int(found["metadata"]["resourceVersion"]) >= int(found["items"][0]["metadata"]["resourceVersion"])

    async def test_many_requests_at_once(self, client: Client) -> None:
        await asyncio.gather(*(client.create(CONFIG_MAPS, config_map(f"m{i}", many="1"), "default") for i in range(40)))
        assert len((await client.list(CONFIG_MAPS, "default", labels="many=1"))["items"]) == 40

    async def test_a_watch_streams_while_things_happen(self, client: Client) -> None:
        version = (await client.list(CONFIG_MAPS))["metadata"]["resourceVersion"]
        async with client.watch(CONFIG_MAPS, "default", resource_version=version, labels="w=1") as events:
            waiting = asyncio.create_task(take(events, 1))
            await asyncio.sleep(0)
            created = await client.create(CONFIG_MAPS, config_map("w", w="1"), "default")
            assert await waiting == [("ADDED", "w")]
            await client.create(CONFIG_MAPS, config_map("other"), "default")
            await client.update(CONFIG_MAPS, {**created, "data": {}})
            await client.delete(CONFIG_MAPS, "w", "default")
            assert await take(events, 2) == [("MODIFIED", "w"), ("DELETED", "w")]

    async def test_a_watch_resumes_after_a_revision(self, client: Client) -> None:
        first = await client.create(CONFIG_MAPS, config_map("r1", r="1"), "default")
        version = first["metadata"]["resourceVersion"]
        await client.create(CONFIG_MAPS, config_map("r2", r="1"), "default")
        for _ in range(2):
            async with client.watch(CONFIG_MAPS, resource_version=version, labels="r=1") as events:
                assert await take(events, 1) == [("ADDED", "r2")]

    async def test_a_watch_that_is_left_is_over(self, client: Client) -> None:
        version = (await client.list(CONFIG_MAPS))["metadata"]["resourceVersion"]
        for _ in range(50):  # more would not fit if they were kept
            async with client.watch(CONFIG_MAPS, "default", resource_version=version):
                pass

        async def wait() -> None:
            async with client.watch(CONFIG_MAPS, "default", resource_version=version) as events:
                async for _ in events:
                    pass

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()

    async def test_a_watch_from_nowhere_is_expired(self, client: Client) -> None:
        code = 0
        try:
            async with client.watch(CONFIG_MAPS, "default", resource_version="999999999") as events:
                async for event in events:
                    assert event["type"] == "ERROR"
                    code = event["object"]["code"]
        except StatusError as error:
            code = error.code
        assert code == 410
