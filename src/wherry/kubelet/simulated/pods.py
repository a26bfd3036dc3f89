"""Plays the parts of all pods of all simulated nodes, on one heap of moments instead of one task per pod.

Reads pods from one informer, writes through one `StatusManager`. A node that is cut off (`Nodes.is_silent`) is left
alone: its pods neither change nor end until it is back.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from itertools import count
from typing import TYPE_CHECKING

from msgspec import Struct

from wherry.aio.clock import Clock
from wherry.api.types import Obj
from wherry.client.events import EventRecorder
from wherry.client.informer import ChangeType, Informer
from wherry.kubelet import pod_spec
from wherry.kubelet.simulated.life import Life, resumed
from wherry.kubelet.simulated.nodes import SimulatedNode, SimulatedNodes
from wherry.kubelet.simulated.script import Script, ScriptError
from wherry.kubelet.simulated.status import invalid_status, pod_status
from wherry.kubelet.status_manager import StatusManager

if TYPE_CHECKING:
    from wherry.kubelet.parts import Addresses

log = logging.getLogger(__name__)

AT_ONCE = 200
"""Pods looked at before others in this process have a turn: some 20 ms."""


class _Actor(Struct):
    """A pod with its life; `turn` tells its newest entry of the heap from older ones."""

    pod: Obj
    node: SimulatedNode
    life: Life
    turn: int = 0
    problem: str = ""


class SimulatedPods:
    """`await run()` until cancelled."""

    def __init__(
        self,
        nodes: SimulatedNodes,
        pods: Informer,
        status: StatusManager,
        recorder: EventRecorder,
        addresses: Addresses,
        clock: Clock,
    ) -> None:
        self._nodes = nodes
        self._pods = pods
        self._status = status
        self._recorder = recorder
        self._addresses = addresses
        self._clock = clock
        self._actors: dict[str, _Actor] = {}
        self._of_node: dict[str, dict[str, _Actor]] = {}
        self._moments: list[tuple[float, int, str]] = []
        self._turns = count(1)
        self._wake = asyncio.Event()

    async def run(self) -> None:
        await self._pods.wait_synced()
        self._nodes.on_change = self._node_changed
        self._pods.add_handler(self._pod_changed)
        while True:
            self._wake.clear()
            await self._play()
            await self._rest()

    def of_node(self, node: str) -> list[tuple[Obj, Life]]:
        """Its pods and their lives, for the node's figures."""
        return [(actor.pod, actor.life) for actor in self._of_node.get(node, {}).values()]

    # -- what happens

    def _pod_changed(self, change: ChangeType, pod: Obj, old: Obj | None) -> None:
        if old is not None and pod_spec.uid_of(old) != pod_spec.uid_of(pod):
            self._gone(pod_spec.uid_of(old))
        uid = pod_spec.uid_of(pod)
        if change == "deleted":
            self._gone(uid)
            return
        node = self._nodes.get(pod["spec"].get("nodeName", ""))
        if node is None:
            return
        actor = self._actors.get(uid)
        if actor is None:
            actor = self._actors[uid] = self._cast(pod, node)
            self._of_node.setdefault(node.name, {})[uid] = actor
        elif _instructions(actor.pod) == _instructions(pod):
            actor.pod = pod  # our own status came back, or somebody else's
            if not self._nodes.is_silent(actor.node.name):
                self._status.shown(pod)
            return
        actor.pod = pod
        self._look_at(uid, actor, self._clock.time())

    def _cast(self, pod: Obj, node: SimulatedNode) -> _Actor:
        problem, script = "", Script()
        try:
            script = Script.of(pod)
        except ScriptError as error:
            problem = str(error)
            self._recorder.event(pod, "Warning", "InvalidSimulation", problem)
        life = resumed(pod, script, self._clock.time())
        if life.address:
            self._addresses.claim(pod_spec.uid_of(pod), life.address)
        return _Actor(pod, node, life, problem=problem)

    def _gone(self, uid: str) -> None:
        actor = self._actors.pop(uid, None)
        if actor is not None:
            del self._of_node[actor.node.name][uid]
            self._addresses.release(uid)
            self._status.forget(uid)

    def _node_changed(self, name: str) -> None:
        now = self._clock.time()
        for uid, actor in self._of_node.get(name, {}).items():
            self._look_at(uid, actor, now)
            if not self._nodes.is_silent(name):
                self._status.shown(actor.pod)

    # -- what is done about it

    def _look_at(self, uid: str, actor: _Actor, moment: float) -> None:
        """Play this part at `moment`; what was planned for it before is void."""
        actor.turn = next(self._turns)
        heapq.heappush(self._moments, (moment, actor.turn, uid))
        self._wake.set()

    async def _play(self) -> None:
        """Everyone whose moment has come."""
        played = 0
        while self._moments and self._moments[0][0] <= self._clock.time():
            _, turn, uid = heapq.heappop(self._moments)
            actor = self._actors.get(uid)
            if actor is None or actor.turn != turn or self._nodes.is_silent(actor.node.name):
                continue
            self._act(uid, actor, self._clock.time())
            played += 1
            if played % AT_ONCE == 0:
                await self._clock.sleep(0)

    def _act(self, uid: str, actor: _Actor, now: float) -> None:
        pod, life = self._status.recorded(actor.pod), actor.life
        if pod_spec.is_deleted(pod) and (actor.problem or life.over):
            self._status.finish(actor.pod)
            return
        if actor.problem:
            self._status.set(actor.pod, invalid_status(pod, actor.problem, actor.node.address, now))
            return
        if pod_spec.is_terminal(pod):
            return
        life.advance(pod, now)
        if life.started_at is not None and not life.address:
            life.address = actor.node.address if pod_spec.host_network(pod) else self._addresses.allocate(uid)
        self._status.set(actor.pod, pod_status(pod, life, actor.node.address, now))
        if pod_spec.is_deleted(pod) and life.over:
            self._status.finish(actor.pod)
            return
        moment = life.next_at(now)
        if moment is not None:
            self._look_at(uid, actor, moment)

    async def _rest(self) -> None:
        """Until the next moment, or until something happens."""
        while self._moments and self._is_void(*self._moments[0]):
            heapq.heappop(self._moments)
        pause = self._moments[0][0] - self._clock.time() if self._moments else None
        try:
            async with asyncio.timeout(max(pause, 0) if pause is not None else None):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _is_void(self, moment: float, turn: int, uid: str) -> bool:
        actor = self._actors.get(uid)
        return actor is None or actor.turn != turn


def _instructions(pod: Obj) -> tuple[object, ...]:
    """What of a pod tells its actor to do something else."""
    metadata = pod["metadata"]
    return pod["spec"], metadata.get("annotations"), metadata.get("deletionTimestamp")
