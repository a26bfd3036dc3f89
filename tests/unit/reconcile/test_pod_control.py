"""Pods made and deleted: what is expected of the informer afterwards, whatever fails, and what the owner is told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine

from wherry.aio.clock import LoopClock
from wherry.aio.virtual import run_virtual
from wherry.api.errors import StatusError
from wherry.api.resources import EVENTS, PODS
from wherry.api.types import Obj
from wherry.client.events import EventRecorder
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.reconcile.parts import Parts
from wherry.reconcile.pod_control import PodControl
from wherry.testing.fake_api import FakeApi

OWNER: Obj = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "count", "namespace": "shop", "uid": "u"},
}
POD: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "count-", "namespace": "shop"}, "spec": {}}


class World:
    def __init__(self) -> None:
        self.api, clock, rng = FakeApi(), LoopClock(), random.Random(1)
        self.client = Client(self.api)
        self.recorder = EventRecorder(self.client, "test", "", clock, rng)
        self.control = PodControl(
            Parts(self.client, InformerFactory(self.client, clock, rng), self.recorder, clock, rng)
        )

    def waits(self) -> bool:
        return not self.control.expectations.satisfied("u")

    async def pods(self) -> list[Obj]:
        return (await self.client.list(PODS, "shop"))["items"]

    async def reasons(self) -> list[str]:
        running = asyncio.create_task(self.recorder.run())
        await asyncio.sleep(10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return sorted(one["reason"] for one in (await self.client.list(EVENTS, "shop"))["items"])


def play(scenario: Callable[[World], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        world = World()
        try:
            await scenario(world)
        finally:
            await world.api.close()

    run_virtual(main())


def test_what_was_made_is_waited_for() -> None:
    async def scenario(world: World) -> None:
        assert await world.control.create(OWNER, [POD] * 3) == (3, None)
        for pod in await world.pods():
            assert world.waits()
            world.control.observe("u", "added", pod)
        assert not world.waits()

    play(scenario)


def test_what_failed_and_what_was_not_tried_is_not_waited_for() -> None:
    async def scenario(world: World) -> None:
        world.api.faults.append(ConnectionError("gone"))
        made, failure = await world.control.create(OWNER, [POD] * 9)
        assert made == 0
        assert isinstance(failure, ConnectionError)
        assert not world.waits()
        assert await world.reasons() == ["FailedCreate"]

    play(scenario)


def test_an_ending_namespace_is_no_news() -> None:
    async def scenario(world: World) -> None:
        causes = [{"reason": "NamespaceTerminating", "message": "namespace shop is being terminated"}]
        world.api.faults.append(StatusError(403, "Forbidden", "it is being terminated", {"causes": causes}))
        _, failure = await world.control.create(OWNER, [POD])
        assert isinstance(failure, StatusError)
        assert await world.reasons() == []

    play(scenario)


def test_a_deletion_is_seen_when_the_pod_terminates() -> None:
    async def scenario(world: World) -> None:
        await world.control.create(OWNER, [POD])
        (pod,) = await world.pods()
        world.control.observe("u", "added", pod)
        assert await world.control.delete(OWNER, [pod]) is None
        assert world.waits()
        ending = {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
        world.control.observe("u", "modified", ending)
        assert not world.waits()

    play(scenario)


def test_what_is_gone_or_stays_is_not_waited_for() -> None:
    async def scenario(world: World) -> None:
        await world.control.create(OWNER, [POD])
        (pod,) = await world.pods()
        world.control.observe("u", "added", pod)
        world.api.faults.append(ConnectionError("gone"))
        assert isinstance(await world.control.delete(OWNER, [pod]), ConnectionError)
        assert not world.waits()
        await world.client.delete(PODS, pod["metadata"]["name"], "shop")
        assert await world.control.delete(OWNER, [pod]) is None
        assert not world.waits()

    play(scenario)
