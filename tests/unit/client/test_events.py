"""What becomes of what components say, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from wherry.aio.clock import LoopClock
from wherry.aio.virtual import run_virtual
from wherry.api.errors import forbidden
from wherry.api.resources import EVENTS
from wherry.api.types import Obj
from wherry.client.event_correlator import SIMILAR_EVENTS_MAX, SPAM_BURST, EventCorrelator, Occurrence
from wherry.client.event_series import SERIES_SECONDS, WRITE_SECONDS, SeriesRecorder
from wherry.client.events import QUEUED_MAX, EventRecorder
from wherry.client.rest import Client
from wherry.testing.fake_api import FakeApi

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "cart-1", "namespace": "shop", "uid": "u", "resourceVersion": "7"},
}


class World:
    def __init__(self, component: str = "kubelet", recorder_class: type[EventRecorder] = EventRecorder) -> None:
        self.api = FakeApi()
        self.client = Client(self.api)
        self.recorder = recorder_class(self.client, component, "wherry", LoopClock(), Random(7))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.recorder.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def events(self) -> list[Obj]:
        await asyncio.sleep(0.001)
        items: list[Obj] = (await self.client.list(EVENTS))["items"]
        return items


def test_an_event_has_what_kubectl_shows() -> None:
    async def main() -> None:
        world = World()
        async with world.running():
            world.recorder.event(POD, "Normal", "Pulled", "Image is present", field_path="spec.containers{cart}")
            [event] = await world.events()
        name = event["metadata"].pop("name")
        assert name.startswith("cart-1.")
        assert int(name.removeprefix("cart-1."), 16) >= LoopClock().epoch * 1e9
        del event["metadata"]["uid"]
        assert event == {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": "shop", "resourceVersion": "1"},
            "involvedObject": {
                "kind": "Pod",
                "namespace": "shop",
                "name": "cart-1",
                "uid": "u",
                "apiVersion": "v1",
                "resourceVersion": "7",
                "fieldPath": "spec.containers{cart}",
            },
            "reason": "Pulled",
            "message": "Image is present",
            "source": {"component": "kubelet", "host": "wherry"},
            "firstTimestamp": "2023-11-14T22:13:20Z",
            "lastTimestamp": "2023-11-14T22:13:20Z",
            "count": 1,
            "type": "Normal",
            "eventTime": None,
            "reportingComponent": "kubelet",
            "reportingInstance": "wherry",
        }

    run_virtual(main())


def test_the_same_again_is_counted() -> None:
    async def main() -> None:
        world = World()
        async with world.running():
            for _ in range(3):
                world.recorder.event(POD, "Warning", "BackOff", "Back-off restarting")
                await asyncio.sleep(60)
            world.recorder.event(POD, "Warning", "Failed", "Error")
            counted, other = sorted(await world.events(), key=lambda event: event["reason"])
        assert (counted["count"], other["count"]) == (3, 1)
        assert counted["firstTimestamp"] == "2023-11-14T22:13:20Z"
        assert counted["lastTimestamp"] == "2023-11-14T22:15:20Z"

    run_virtual(main())


def test_an_expired_event_begins_anew() -> None:
    async def main() -> None:
        world = World()
        async with world.running():
            world.recorder.event(POD, "Warning", "BackOff", "Back-off restarting")
            [event] = await world.events()
            await world.client.delete(EVENTS, event["metadata"]["name"], "shop")
            await asyncio.sleep(3600)
            world.recorder.event(POD, "Warning", "BackOff", "Back-off restarting")
            [event] = await world.events()
        assert event["count"] == 1
        assert event["firstTimestamp"] == event["lastTimestamp"]

    run_virtual(main())


def test_an_event_of_a_cluster_scoped_object_is_in_default() -> None:
    async def main() -> None:
        world = World()
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "wherry"}}
        async with world.running():
            world.recorder.event(node, "Normal", "NodeReady", "ready")
            [event] = await world.events()
        assert event["metadata"]["namespace"] == "default"
        assert event["involvedObject"] == {"kind": "Node", "name": "wherry", "apiVersion": "v1"}

    run_virtual(main())


def test_an_absent_server_is_waited_for_a_refusal_is_not() -> None:
    async def main() -> None:
        world = World()
        world.api.faults = [ConnectionError("down")] * 5 + [forbidden("events", "", "", "namespace is terminating")]
        async with world.running():
            world.recorder.event(POD, "Normal", "A", "refused")
            world.recorder.event(POD, "Normal", "B", "written")
            await asyncio.sleep(30)
            assert [event["reason"] for event in await world.events()] == ["B"]
        assert world.recorder.dropped == 1

    run_virtual(main())


def test_the_queue_is_bounded_and_keeps_the_beginning() -> None:
    async def main() -> None:
        world = World()
        for number in range(QUEUED_MAX + 5):
            pod = {**POD, "metadata": {"name": f"p{number}", "namespace": "shop"}}
            world.recorder.event(pod, "Normal", "Scheduled", "x" * 5000)
        assert world.recorder.dropped == 5
        async with world.running():
            events = await world.events()
        assert len(events) == QUEUED_MAX
        assert len(events[0]["message"]) == 1024

    run_virtual(main())


def occurrence(message: str, time: float, reason: str = "Unhealthy") -> Occurrence:
    return Occurrence({"kind": "Pod", "name": "p", "namespace": "shop"}, "Warning", reason, message, time)


def test_similar_events_are_combined_after_ten() -> None:
    correlator = EventCorrelator()
    messages = []
    for number in range(SIMILAR_EVENTS_MAX + 3):
        correlated = correlator.correlate(occurrence(f"probe failed {number}", float(number)))
        assert correlated is not None
        messages.append((correlated[0].count, correlated[1]))
    assert messages[:9] == [(1, f"probe failed {number}") for number in range(9)]
    assert messages[9:] == [
        (count, f"(combined from similar events): probe failed {8 + count}") for count in range(1, 5)
    ]


def test_similar_events_long_apart_are_not() -> None:
    correlator = EventCorrelator()
    for number in range(30):
        correlated = correlator.correlate(occurrence(f"probe failed {number}", number * 601.0))
        assert correlated is not None
        assert correlated[1] == f"probe failed {number}"


@pytest.mark.parametrize(("seconds", "allowed"), [(0, 0), (299, 0), (301, 1), (3100, 10)])
def test_spam_is_dropped_until_time_has_passed(seconds: float, allowed: int) -> None:
    correlator = EventCorrelator()
    kept = [correlator.correlate(occurrence("x", 0.0, f"R{number}")) for number in range(SPAM_BURST + 10)]
    assert sum(one is not None for one in kept) == SPAM_BURST
    later = [correlator.correlate(occurrence("x", seconds, f"S{number}")) for number in range(20)]
    assert sum(one is not None for one in later) == allowed


def test_the_newer_form_has_a_moment_and_an_action() -> None:
    async def main() -> None:
        world = World("default-scheduler", SeriesRecorder)
        async with world.running():
            text = "Preempted by pod u2 on node one"
            other = {**POD, "metadata": {**POD["metadata"], "name": "vip", "uid": "u2"}}  # type: ignore[dict-item]
            world.recorder.event(POD, "Normal", "Preempted", text, action="Preempting", related=other)
            [event] = await world.events()
        del event["metadata"], event["involvedObject"]
        assert event == {
            "apiVersion": "v1",
            "kind": "Event",
            "related": {
                "kind": "Pod",
                "namespace": "shop",
                "name": "vip",
                "uid": "u2",
                "apiVersion": "v1",
                "resourceVersion": "7",
            },
            "type": "Normal",
            "reason": "Preempted",
            "message": text,
            "action": "Preempting",
            "source": {},
            "firstTimestamp": None,
            "lastTimestamp": None,
            "eventTime": "2023-11-14T22:13:20.000000Z",
            "reportingComponent": "default-scheduler",
            "reportingInstance": "default-scheduler-wherry",
        }

    run_virtual(main())


def test_a_series_is_counted_and_comes_to_an_end() -> None:
    async def main() -> None:
        world = World("default-scheduler", SeriesRecorder)
        later = {**POD, "metadata": {**POD["metadata"], "resourceVersion": "8"}}  # type: ignore[dict-item]

        async def say(pod: Obj, message: str) -> list[tuple[str, int]]:
            world.recorder.event(pod, "Warning", "FailedScheduling", message, action="Scheduling")
            return sorted((one["message"], one.get("series", {}).get("count", 1)) for one in await world.events())

        async with world.running():
            assert await say(POD, "a") == [("a", 1)]
            assert await say(POD, "b") == [("a", 2)]
            assert await say(POD, "b") == [("a", 2)]  # the third time is not news yet
            await asyncio.sleep(WRITE_SECONDS)
            assert await say(POD, "b") == [("a", 4)]
            assert await say(later, "c") == [("a", 4), ("c", 1)]
            await asyncio.sleep(SERIES_SECONDS + 1)
            assert await say(POD, "d") == [("a", 4), ("c", 1), ("d", 1)]

    run_virtual(main())
