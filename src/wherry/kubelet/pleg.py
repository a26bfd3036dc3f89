"""Pod lifecycle event generator: what the runtime holds, kept current by its events, and a word to whoever it concerns.

Level-based: an event only says what to look at again, and many events about one thing are one look. When the runtime goes
away and comes back everything is listed anew, and every pod whose picture differs is reported. Never polls.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TypeVar

from wherry.aio.clock import Clock
from wherry.cri.interface import (
    OWNER_LABEL,
    ContainerEvent,
    ContainerState,
    ContainerStatus,
    RuntimeService,
    SandboxStatus,
)
from wherry.kubelet.observation import PodSeen

log = logging.getLogger(__name__)

T = TypeVar("T")

RECONNECT_SECONDS_FIRST = 0.05
RECONNECT_SECONDS_MAX = 2.0


class Pleg:
    """`on_change(uid)` is called after the picture of that pod has changed, `on_notice(uid, container, text)` when a program of
    it (its name, if it is known) was refused something; they must return at once."""

    def __init__(
        self,
        runtime: RuntimeService,
        clock: Clock,
        rng: random.Random,
        on_change: Callable[[str], None],
        owner: str = "",
        on_notice: Callable[[str, str, str], None] | None = None,
    ) -> None:
        self._owner = owner
        self._on_notice = on_notice
        self._runtime = runtime
        self._clock = clock
        self._rng = rng
        self._on_change = on_change
        self._sandboxes: dict[str, SandboxStatus] = {}
        self._containers: dict[str, ContainerStatus] = {}
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        self._synced = asyncio.Event()
        self._relisted = 0
        self._told: set[str] = set()
        """Sandboxes somebody told us of since the last listing began."""
        self._dirty: dict[str, None] = {}
        self._sandboxes_dirty = False
        self._news = asyncio.Event()
        self._look_under_way: asyncio.Future[None] | None = None
        self._next_look: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Listen and list, for ever; reconnects by itself."""
        delay = RECONNECT_SECONDS_FIRST
        while True:
            try:
                await self._listen()
            except (ConnectionError, OSError) as error:
                self._synced.clear()
                log.warning("runtime went away: %s; listing again in %.2f s", error, delay)
                await self._clock.sleep(delay * (0.5 + self._rng.random()))
                delay = min(delay * 2, RECONNECT_SECONDS_MAX) if not self._synced.is_set() else RECONNECT_SECONDS_FIRST

    async def wait_synced(self) -> None:
        """Return once what the runtime holds is known (again)."""
        await self._synced.wait()

    def is_synced(self) -> bool:
        return self._synced.is_set()

    def pod(self, uid: str) -> PodSeen:
        """The pod as last seen; empty when the runtime has nothing of it."""
        sandboxes = [each for each in self._sandboxes.values() if each.config.uid == uid]
        ids = {each.id for each in sandboxes}
        return PodSeen.of(sandboxes, (each for each in self._containers.values() if each.sandbox_id in ids))

    def uids(self) -> set[str]:
        """Every pod the runtime has a sandbox of."""
        return {each.config.uid for each in self._sandboxes.values()}

    def container(self, container_id: str) -> ContainerStatus | None:
        return self._containers.get(container_id)

    def on_container_change(self, container_id: str, poke: Callable[[], None]) -> Callable[[], None]:
        """Call `poke()` whenever that container changes; what comes back ends it."""
        watchers = self._watchers.setdefault(container_id, [])
        watchers.append(poke)

        def forget() -> None:
            watchers.remove(poke)
            if not watchers:
                self._watchers.pop(container_id, None)

        return forget

    def sandboxes(self) -> list[SandboxStatus]:
        return list(self._sandboxes.values())

    def containers(self) -> list[ContainerStatus]:
        return list(self._containers.values())

    async def refresh_container(self, container_id: str) -> None:
        """Look at one container again, now; its pod hears of a change."""
        self._dirty.pop(container_id, None)
        status = await self._runtime.container_status(container_id)
        before = self._containers.get(container_id)
        if before is not None and status is not None and _is_step_back(before, status):
            return  # an answer that was overtaken by a newer one
        if status is None:
            self._containers.pop(container_id, None)
        else:
            self._containers[container_id] = status
        if status != before:
            self._tell(status or before)
            self._poke(container_id)

    async def refresh_sandboxes(self) -> None:
        """Look at all sandboxes again (the runtime has no question for one). Callers share a look that has not begun."""
        if self._next_look is None:
            self._next_look = asyncio.ensure_future(self._list_sandboxes(self._look_under_way))
        await asyncio.shield(self._next_look)

    def saw_sandbox(self, status: SandboxStatus) -> None:
        """Whoever made a sandbox knows it best: nothing has to be asked."""
        self._sandboxes.setdefault(status.id, status)
        self._told.add(status.id)

    def look_again(self, container_id: str) -> None:
        """Have a container looked at soon."""
        self._dirty[container_id] = None
        self._news.set()

    async def _list_sandboxes(self, before_this: asyncio.Future[None] | None) -> None:
        if before_this is not None and not before_this.done():
            await asyncio.wait((before_this,))
        # From here on a change may come too late for this look: who asks now gets another.
        self._look_under_way, self._next_look = self._next_look, None
        listed = await self._listed_sandboxes()
        before, self._sandboxes = self._sandboxes, listed
        for changed in _differences(before, listed):
            self._on_change((listed.get(changed) or before[changed]).config.uid)

    def statistics(self) -> dict[str, int]:
        return {
            "sandboxes": len(self._sandboxes),
            "containers": len(self._containers),
            "relisted": self._relisted,
        }

    async def _listen(self) -> None:
        pump = asyncio.create_task(self._pump(), name="pleg events")
        look = asyncio.create_task(self._look(), name="pleg looks")
        try:
            await asyncio.sleep(0)  # let the subscription begin before the listing, so that no change falls between
            await self._relist()
            done, _ = await asyncio.wait((pump, look), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            pump.cancel()
            look.cancel()
            await asyncio.gather(pump, look, return_exceptions=True)

    async def _pump(self) -> None:
        async for event in self._runtime.events():
            self._note(event)
        raise ConnectionError("the runtime ended the event stream")

    def _note(self, event: ContainerEvent) -> None:
        """Remember what to look at."""
        known = self._sandboxes.get(event.sandbox_id)
        if event.type == "notice":
            if known is not None and self._on_notice is not None:
                container = self._containers.get(event.container_id)
                self._on_notice(known.config.uid, container.config.name if container else "", event.text)
            return
        if event.container_id:
            if event.type == "created":
                return  # nothing runs yet; whoever created it looks when it has started it
            self._dirty[event.container_id] = None
        if known is None or (not event.container_id and event.type not in ("created", "started")):
            self._sandboxes_dirty = True
        self._news.set()

    async def _look(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if self._sandboxes_dirty:
                self._sandboxes_dirty = False
                await self.refresh_sandboxes()
            waiting, self._dirty = list(self._dirty), {}
            await asyncio.gather(*(self.refresh_container(each) for each in waiting))

    async def _listed_sandboxes(self) -> dict[str, SandboxStatus]:
        """What the runtime lists of pods, and what we were told of while it did: its answer may be from before."""
        self._told.clear()
        everything = await self._runtime.list_pod_sandboxes()
        listed = {each.id: each for each in everything if each.config.labels.get(OWNER_LABEL, "") == self._owner}
        for sandbox_id in self._told:
            if sandbox_id in self._sandboxes:
                listed.setdefault(sandbox_id, self._sandboxes[sandbox_id])
        return listed

    async def _relist(self) -> None:
        sandboxes = await self._listed_sandboxes()
        containers = {each.id: each for each in await self._runtime.list_containers()}
        old_sandboxes, old_containers = self._sandboxes, self._containers
        self._sandboxes, self._containers = sandboxes, containers
        self._relisted += 1
        self._synced.set()
        changed = {
            (sandboxes.get(key) or old_sandboxes[key]).config.uid for key in _differences(old_sandboxes, sandboxes)
        }
        for key in _differences(old_containers, containers):
            self._poke(key)
            status = containers.get(key) or old_containers[key]
            owner = sandboxes.get(status.sandbox_id) or old_sandboxes.get(status.sandbox_id)
            if owner is not None:
                changed.add(owner.config.uid)
        for uid in sorted(changed):
            self._on_change(uid)

    def _poke(self, container_id: str) -> None:
        for poke in list(self._watchers.get(container_id, ())):
            poke()

    def _tell(self, status: ContainerStatus | None) -> None:
        owner = self._sandboxes.get(status.sandbox_id) if status is not None else None
        if owner is not None:
            self._on_change(owner.config.uid)


_ORDER = {ContainerState.CREATED: 0, ContainerState.RUNNING: 1, ContainerState.UNKNOWN: 1, ContainerState.EXITED: 2}


def _is_step_back(before: ContainerStatus, after: ContainerStatus) -> bool:
    return _ORDER[after.state] < _ORDER[before.state]


def _differences(before: dict[str, T], after: dict[str, T]) -> set[str]:
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
