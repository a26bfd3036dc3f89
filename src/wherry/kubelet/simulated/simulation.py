"""Simulated nodes, put together: nodes, the pods that play on them, and the figures they would report."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from wherry.aio.clock import Clock
from wherry.api.errors import bad_request
from wherry.api.resources import NODES, PODS
from wherry.api.types import Obj
from wherry.client.events import EventRecorder
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.kubelet.simulated.heartbeats import Heartbeats
from wherry.kubelet.simulated.logs import NoLogs, stream
from wherry.kubelet.simulated.nodes import WRITES_MAX, SimulatedNodes
from wherry.kubelet.simulated.pods import SimulatedPods
from wherry.kubelet.simulated.usage import summary
from wherry.kubelet.status_manager import StatusManager
from wherry.kubelet.streaming.log_lines import Options, is_set

if TYPE_CHECKING:
    from wherry.kubelet.parts import Addresses

POD_RANGE = "100.64.0.0/10"
"""Addresses of pods that nobody can reach: RFC 6598 keeps them off the internet, and four million are enough."""


class Simulation:
    """`nodes` simulated nodes of a cluster that speaks Kubernetes `version`. `await run()` until cancelled; the informers
    and the recorder are run by whoever made them. `addresses` hands out of `POD_RANGE`. `mine`: the numbers of the nodes whose
    agent this is, where others keep the rest. `cut_off`: which of them a fault keeps from the API now."""

    def __init__(
        self,
        nodes: int,
        version: str,
        client: Client,
        factory: InformerFactory,
        recorder: EventRecorder,
        addresses: Addresses,
        clock: Clock,
        rng: random.Random,
        heartbeats: Heartbeats | None = None,
        mine: Iterable[int] | None = None,
        cut_off: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._clock = clock
        self._status = StatusManager(client, clock, rng, WRITES_MAX)
        self._nodes = SimulatedNodes(
            client, factory.informer(NODES), nodes, version, clock, rng, heartbeats, mine, cut_off
        )
        self._shown = factory.informer(PODS)
        self._pods = SimulatedPods(self._nodes, self._shown, self._status, recorder, addresses, clock)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._status.run(), name="status manager")
            tasks.create_task(self._pods.run(), name="simulated pods")
            tasks.create_task(self._nodes.run(), name="simulated nodes")

    async def catch_up(self) -> None:
        """Show what was only reckoned: time has come to a stand, and somebody may look."""
        await self._nodes.catch_up()

    def summary(self, node: str) -> Obj | None:
        """The Summary of a simulated node; None of any other."""
        if self._nodes.get(node) is None or self._nodes.is_silent(node):
            return None
        return summary(node, self._pods.of_node(node), self._clock.time())

    def has(self, node: str) -> bool:
        """Whether a node of that name only pretends, and is not cut off."""
        return self._nodes.get(node) is not None and not self._nodes.is_silent(node)

    async def logs(self, pod: Obj, container: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """As a kubelet answers `/containerLogs`: the first item is b"" once it agrees. Raises StatusError before that."""
        metadata = pod["metadata"]

        def now() -> Obj | None:
            found = self._shown.get(metadata["name"], metadata["namespace"])
            return found if found is not None and found["metadata"]["uid"] == metadata["uid"] else None

        try:
            options = Options.of(query, self._clock.time())
        except ValueError as error:
            raise bad_request(f"invalid log options: {error}") from None
        try:
            async for piece in stream(now, container, options, is_set(query, "previous"), self._clock):
                yield piece
        except NoLogs as error:
            raise bad_request(str(error)) from None
