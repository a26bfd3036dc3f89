"""What a StatefulSet's pods and claims cannot be made for, and who is told."""

from __future__ import annotations

import asyncio
import random

import pytest

from wherry.aio.clock import LoopClock
from wherry.aio.virtual import run_virtual
from wherry.api.errors import StatusError, namespace_is_ending
from wherry.api.resources import EVENTS, PERSISTENT_VOLUME_CLAIMS
from wherry.api.types import Obj
from wherry.client.events import EventRecorder
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.controllers.statefulset.control import NotYet, StatefulPodControl
from wherry.reconcile.parts import Parts
from wherry.testing.fake_api import FakeApi

SET: Obj = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "broker", "namespace": "shop", "uid": "u"},
    "spec": {"selector": {"matchLabels": {}}, "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]},
}


@pytest.mark.parametrize(("reason", "told"), [("NamespaceTerminating", []), ("Other", ["FailedCreate"] * 2)])
def test_an_ending_namespace_is_no_news(reason: str, told: list[str]) -> None:
    """Nor is it a failure that the log explains with a traceback."""

    async def main() -> None:
        api, clock, rng = FakeApi(), LoopClock(), random.Random(1)
        client = Client(api)
        recorder = EventRecorder(client, "test", "", clock, rng)
        factory = InformerFactory(client, clock, rng)
        parts = Parts(client, factory, recorder, clock, rng)
        control = StatefulPodControl(parts, factory.informer(PERSISTENT_VOLUME_CLAIMS))
        api.faults.append(StatusError(403, "Forbidden", "no new content", {"causes": [{"reason": reason}]}))
        with pytest.raises((StatusError, NotYet)) as failure:
            await control.create(SET, 0, {"metadata": {"name": "broker-1"}})
        assert namespace_is_ending(failure.value) is not bool(told)
        running = asyncio.create_task(recorder.run())
        await clock.sleep(10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert [each["reason"] for each in (await client.list(EVENTS, "shop"))["items"]] == told
        await api.close()

    run_virtual(main())
