import asyncio
import random

import pytest

from wherry.aio.clock import LoopClock
from wherry.aio.virtual import run_virtual
from wherry.api.resources import EVENTS
from wherry.api.scheme import Scheme
from wherry.api.types import GVR
from wherry.client.events import EventRecorder
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.controllers import not_acted_on
from wherry.reconcile.parts import Parts
from wherry.testing.fake_api import FakeApi

INGRESSES = GVR("networking.k8s.io", "v1", "ingresses")


@pytest.mark.parametrize("version", Scheme.versions())
def test_every_served_resource_of_the_table_is_watched_once_in_its_preferred_version(version):
    scheme = Scheme.load(version)
    found = [(gvr.group, gvr.resource) for gvr in not_acted_on.watched(scheme)]
    served = {(gvr.group, gvr.resource) for gvr in scheme.resources} & set(not_acted_on.WHAT)
    assert len(found) == len(set(found))
    assert set(found) <= served
    assert {("networking.k8s.io", "ingresses"), ("networking.k8s.io", "networkpolicies")} <= set(found)


def test_an_object_nothing_acts_on_is_told_once():
    async def main():
        clock, rng = LoopClock(), random.Random(1)
        client = Client(FakeApi())
        factory, recorder = InformerFactory(client, clock, rng), EventRecorder(client, "test", "", clock, rng)
        not_acted_on.build(Parts(client, factory, recorder, clock, rng), scheme=Scheme.load("1.36"))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(factory.run()), group.create_task(recorder.run())]
            await factory.wait_synced()
            wanted = {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": {"name": "nightly", "namespace": "shop"},
            }
            stored = await client.create(INGRESSES, wanted, "shop")
            await client.update(INGRESSES, {**stored, "spec": {"rules": []}})
            await clock.sleep(5)
            events = (await client.list(EVENTS, "shop"))["items"]
            for task in tasks:
                task.cancel()
        return events

    (event,) = run_virtual(main())
    assert (event["reason"], event["type"], event["involvedObject"]["name"]) == ("NotActedOn", "Warning", "nightly")
    assert event["message"].startswith("stored, but nothing acts on it: nothing routes")
