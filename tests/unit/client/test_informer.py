"""The local copy follows the server through everything that happens to a connection, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from wherry.aio.clock import LoopClock
from wherry.aio.virtual import run_virtual
from wherry.api.errors import StatusError, expired
from wherry.api.labels import Selector
from wherry.api.resources import PODS
from wherry.api.types import Obj
from wherry.client.informer import Informer, InformerFactory
from wherry.client.rest import Client
from wherry.testing.fake_api import FakeApi


def pod(name: str, namespace: str = "shop", **more: Any) -> Obj:
    labels = more.pop("labels", {})
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, **more}


class World:
    """A server, an informer that runs, and what its handler was told."""

    def __init__(self, **selection: str) -> None:
        self.api = FakeApi()
        self.client = Client(self.api)
        self.informer = Informer(self.client, PODS, clock=LoopClock(), rng=Random(7), **selection)  # type: ignore[arg-type]
        self.told: list[str] = []
        self.informer.add_handler(self.tell)

    def tell(self, type_: str, obj: Obj, old: Obj | None) -> None:
        assert (old is not None) == (type_ == "modified")
        assert (self.informer.get(obj["metadata"]["name"], obj["metadata"]["namespace"]) is obj) == (type_ != "deleted")
        self.told.append(f"{type_} {obj['metadata']['name']}")

    def asked(self, method: str) -> int:
        return [asked for asked, _ in self.api.requests].count(method)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.informer.run())
        try:
            await self.informer.wait_synced()
            await self.settle()
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def settle(self) -> None:
        """Until everything that can happen now has happened: virtual time moves on only then."""
        await asyncio.sleep(0.001)


def scenario(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtual(test())  # type: ignore[arg-type]

    run.__name__ = test.__name__
    return run


@scenario
async def test_it_lists_then_follows() -> None:
    world = World()
    a = await world.client.create(PODS, pod("a"))
    assert not world.informer.is_synced()
    async with world.running():
        assert world.informer.is_synced()
        assert world.told == ["added a"]
        b = await world.client.create(PODS, pod("b", "other"))
        a = await world.client.patch(PODS, "a", {"spec": {"x": 1}}, "shop")
        await world.settle()
        assert world.informer.list() == [a, b]
        assert world.informer.list("other") == [b]
        await world.client.delete(PODS, "a", "shop")
        await world.settle()
        assert world.informer.get("a", "shop") is None
        assert world.told == ["added a", "added b", "modified a", "deleted a"]
        assert world.informer.resource_version == str(world.api.storage.revision)
        assert world.asked("GET") == 1


@scenario
async def test_a_stream_that_ends_is_resumed_without_a_list() -> None:
    world = World()
    async with world.running():
        for broken in (False, True):
            name = f"p{int(broken)}"
            world.api.end_watches(broken=broken)
            await world.client.create(PODS, pod(name))
            await asyncio.sleep(1)
            assert world.informer.get(name, "shop") is not None
        assert world.asked("GET") == 1
        assert world.asked("WATCH") == 3


@scenario
async def test_an_expired_revision_means_a_list_and_only_the_difference_is_told() -> None:
    world = World()
    for name in "abc":
        await world.client.create(PODS, pod(name))
    async with world.running():
        world.told.clear()
        world.api.end_watches(broken=True)
        await world.client.delete(PODS, "a", "shop")
        await world.client.patch(PODS, "b", {"spec": {"x": 1}}, "shop")
        await world.client.create(PODS, pod("d"))
        await world.api.storage.compact(world.api.storage.revision)
        await asyncio.sleep(2)
        assert world.told == ["deleted a", "modified b", "added d"]
        assert world.asked("GET") == 2


@scenario
async def test_refusals_are_tried_again_with_growing_bounded_pauses() -> None:
    world = World()
    world.api.faults = [ConnectionError("down")] * 8 + [StatusError(503, "ServiceUnavailable", "starting")] * 2
    clock = LoopClock()
    started = clock.monotonic()
    async with world.running():
        waited = clock.monotonic() - started
        assert world.asked("GET") == 11
        assert 10 < waited < 20
        assert world.asked("WATCH") == 1


@scenario
async def test_a_server_that_ends_every_watch_at_once_is_not_hammered() -> None:
    world = World()
    async with world.running():
        async with asyncio.TaskGroup() as group:

            async def end() -> None:
                for _ in range(1000):
                    world.api.end_watches()
                    await asyncio.sleep(0.01)

            group.create_task(end())
        assert world.asked("WATCH") < 20
        assert world.asked("GET") == 1


@scenario
async def test_a_refused_watch_lists_again_and_a_busy_one_does_not() -> None:
    world = World()
    async with world.running():
        world.api.faults = [StatusError(429, "TooManyRequests", "later")]
        world.api.end_watches(broken=True)
        await asyncio.sleep(1)
        assert world.asked("GET") == 1
        world.api.faults = [expired("too old")]
        world.api.end_watches(broken=True)
        await asyncio.sleep(3)
        assert world.asked("GET") == 2


@scenario
async def test_leaving_a_selection_is_a_deletion() -> None:
    world = World(labels="app=cart")
    async with world.running():
        await world.client.create(PODS, pod("a", labels={"app": "cart"}))
        await world.client.create(PODS, pod("b", labels={"app": "user"}))
        await world.client.patch(PODS, "a", {"metadata": {"labels": {"app": "user"}}}, "shop")
        await world.client.patch(PODS, "b", {"metadata": {"labels": {"app": "cart"}}}, "shop")
        await world.settle()
        assert world.told == ["added a", "deleted a", "added b"]


@scenario
async def test_a_late_handler_learns_what_is_there() -> None:
    world = World()
    await world.client.create(PODS, pod("a"))
    async with world.running():
        late: list[tuple[str, str]] = []
        world.informer.add_handler(lambda type_, obj, old: late.append((type_, obj["metadata"]["name"])))
        assert late == [("added", "a")]


@scenario
async def test_indices_follow() -> None:
    world = World()
    world.informer.add_index("node", lambda obj: [obj["spec"]["nodeName"]] if obj.get("spec") else [])
    async with world.running():
        await world.client.create(PODS, pod("a", spec={"nodeName": "n1"}))
        await world.client.create(PODS, pod("b", spec={"nodeName": "n1"}))
        await world.client.create(PODS, pod("c"))
        await world.settle()
        world.informer.add_index("name", lambda obj: [obj["metadata"]["name"]])

        def on(node: str) -> list[str]:
            return [obj["metadata"]["name"] for obj in world.informer.by_index("node", node)]

        assert (on("n1"), on("n2")) == (["a", "b"], [])
        assert [obj["metadata"]["name"] for obj in world.informer.by_index("name", "c")] == ["c"]
        await world.client.patch(PODS, "a", {"spec": {"nodeName": "n2"}}, "shop")
        await world.client.delete(PODS, "b", "shop")
        await world.settle()
        assert (on("n1"), on("n2")) == ([], ["a"])
        assert [obj["metadata"]["name"] for obj in world.informer.list("shop", Selector.everything())] == ["a", "c"]


@scenario
async def test_objects_are_the_servers_own() -> None:
    world = World()
    a = await world.client.create(PODS, pod("a"))
    async with world.running():
        assert world.informer.get("a", "shop") is a, "in process nothing is copied"


@scenario
async def test_a_factory_shares_and_runs_what_is_asked_for_later() -> None:
    api = FakeApi()
    factory = InformerFactory(Client(api), LoopClock(), Random(1))
    pods = factory.informer(PODS)
    assert factory.informer(PODS) is pods
    assert factory.informer(PODS, namespace="shop") is not pods
    running = asyncio.create_task(factory.run())
    await factory.wait_synced()
    late = factory.informer(PODS, labels="app=cart")
    assert not late.is_synced()
    await factory.wait_synced()
    assert late.is_synced()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
