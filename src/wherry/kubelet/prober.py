"""Startup, readiness and liveness: when each probe is asked, and what its answers add up to.

One task for each probe of each running container. Thresholds, delays and periods are Kubernetes'. One addition: until a
startup or readiness probe has succeeded for the first time, it is also asked between its periods, soon after the start
and then less and less often. Such a try counts only when it succeeds; no failure of it reaches a threshold or an event.
So a pod that is up after 80 ms is Ready after about 100, whatever its periodSeconds, and one that is slow is judged
exactly as Kubernetes would. A readiness that the API has recorded for a running container outlives a kubelet's restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from msgspec import Struct, field

from wherry.aio.clock import Clock
from wherry.api.types import Obj
from wherry.cri.interface import ContainerStatus, RuntimeService
from wherry.kubelet import pod_spec
from wherry.kubelet.events import PodEvents
from wherry.kubelet.observation import ID_PREFIX, Health, PodSeen, is_running
from wherry.kubelet.probes.ask import Asker, Target
from wherry.kubelet.probes.outcome import Outcome, Result, failure

log = logging.getLogger(__name__)

KINDS = ("startup", "readiness", "liveness")
EARLY_SECONDS = 0.01  # a server needs a few ms to listen
EARLY_SECONDS_EXEC = 0.05  # an exec starts a process in the pod
EARLY_GROWTH = 1.5  # a try comes at most half as late again as the container was ready


class _Watch(Struct):
    """One container's probes and what they have said."""

    uid: str
    container: ContainerStatus
    started: bool
    ready: bool
    failed: str = ""
    startup_over: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)


class Prober:
    """`sync` and the others return at once; probes run inside `run`. `wake(uid)` is called when a verdict changes."""

    def __init__(
        self, runtime: RuntimeService, clock: Clock, events: PodEvents, wake: Callable[[str], None], agent: str
    ) -> None:
        self.asker = Asker(runtime, agent)
        self._clock = clock
        self._events = events
        self._wake = wake
        self._watches: dict[str, _Watch] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await asyncio.Event().wait()

    def health(self, pod: Obj, seen: PodSeen, in_hook: frozenset[str]) -> Health:
        """What is known of the pod's running containers; those still in their postStart hook have not started."""
        started, ready, failed = set(), set(), {}
        for spec in pod_spec.all_containers(pod):
            container = seen.latest(spec["name"])
            if container is None or not is_running(container) or container.id in in_hook:
                continue
            watch = self._watch(pod, spec, container)
            if watch.started:
                started.add(container.id)
                if watch.ready:
                    ready.add(container.id)
            if watch.failed:
                failed[container.id] = watch.failed
        return Health(frozenset(started), frozenset(ready), failed)

    def sync(self, pod: Obj, seen: PodSeen, in_hook: frozenset[str], *, ending: bool) -> None:
        """Begin the probes of containers that run, drop those of containers that do not."""
        if self._tasks is None:
            return
        uid = pod_spec.uid_of(pod)
        alive = {each.id for each in seen.alive()}
        for container_id in [key for key, watch in self._watches.items() if watch.uid == uid and key not in alive]:
            self.drop(container_id)
        if ending:
            return
        for spec in pod_spec.all_containers(pod):
            container = seen.latest(spec["name"])
            if container is None or not is_running(container) or container.id in in_hook:
                continue
            watch = self._watch(pod, spec, container)
            for kind in KINDS:
                if spec.get(f"{kind}Probe") and kind not in watch.tasks and not watch.failed:
                    target = Target(container, spec, _address(seen))
                    probing = self._probe(kind, spec[f"{kind}Probe"], pod, target, watch)
                    watch.tasks[kind] = self._tasks.create_task(probing, name=f"{kind} {uid} {spec['name']}")

    def drop(self, container_id: str) -> None:
        """The container is about to end, or has."""
        watch = self._watches.pop(container_id, None)
        if watch is not None:
            for task in watch.tasks.values():
                task.cancel()

    def end(self, uid: str, *, keep_readiness: bool = False) -> None:
        """The pod is being ended: only readiness is still of interest, and at last nothing."""
        for container_id, watch in list(self._watches.items()):
            if watch.uid != uid:
                continue
            if not keep_readiness:
                self.drop(container_id)
                continue
            for kind in ("startup", "liveness"):
                task = watch.tasks.get(kind)
                if task is not None:
                    task.cancel()

    def statistics(self) -> dict[str, int]:
        return {"containers": len(self._watches), "probes": sum(len(each.tasks) for each in self._watches.values())}

    def _watch(self, pod: Obj, spec: Obj, container: ContainerStatus) -> _Watch:
        watch = self._watches.get(container.id)
        if watch is None:
            recorded = pod_spec.container_status(pod, spec["name"]) or {}
            same = recorded.get("containerID") == ID_PREFIX + container.id
            started = not spec.get("startupProbe") or bool(same and recorded.get("started"))
            ready = not spec.get("readinessProbe") or bool(same and recorded.get("ready"))
            watch = _Watch(pod_spec.uid_of(pod), container, started, ready)
            if started:
                watch.startup_over.set()
            self._watches[container.id] = watch
        return watch

    async def _probe(self, kind: str, probe: Obj, pod: Obj, target: Target, watch: _Watch) -> None:
        if kind == "startup":
            if watch.started:
                return
        else:
            await watch.startup_over.wait()
        since = self._clock.time() - target.container.started_at
        await self._clock.sleep(max(float(probe.get("initialDelaySeconds") or 0) - since, 0))
        pace = _Pace(kind, probe, self._clock.monotonic(), eager=not (watch.ready if kind == "readiness" else False))
        while True:
            counts = pace.begins_period(self._clock.monotonic())
            try:
                outcome = await self.asker.ask(probe, target)
            except ConnectionError:
                outcome = None  # the runtime is away, which says nothing of the container
            except Exception as error:
                log.exception("%s probe of container %s in pod %s", kind, target.spec["name"], watch.uid)
                outcome = failure(f"{type(error).__name__}: {error}")
            if outcome is not None and self._judge(kind, probe, pod, target, watch, pace, outcome, counts=counts):
                return
            await self._clock.sleep(pace.pause(self._clock.monotonic()))

    def _judge(
        self,
        kind: str,
        probe: Obj,
        pod: Obj,
        target: Target,
        watch: _Watch,
        pace: _Pace,
        outcome: Outcome,
        *,
        counts: bool,
    ) -> bool:
        """Add one answer; True when this probe has said its last word."""
        name = target.spec["name"]
        if outcome.ok:
            if outcome.result is Result.WARNING:
                text = f"{kind.capitalize()} probe warning: {outcome.output}"
                self._events.warning(pod, "ProbeWarning", text, name)
            pace.succeeded()
            if pace.successes < int(probe.get("successThreshold") or 1):
                return False
            return self._passed(kind, watch)
        if not counts:
            pace.successes = 0
            return False
        self._events.warning(pod, "Unhealthy", f"{kind.capitalize()} probe failed: {outcome.output}", name)
        pace.failed()
        if pace.failures < int(probe.get("failureThreshold") or 3):
            return False
        return self._fell(kind, watch)

    def _passed(self, kind: str, watch: _Watch) -> bool:
        if kind == "startup":
            watch.started = True
            watch.startup_over.set()
            self._wake(watch.uid)
            return True
        if kind == "readiness" and not watch.ready:
            watch.ready = True
            self._wake(watch.uid)
        return False

    def _fell(self, kind: str, watch: _Watch) -> bool:
        if kind == "readiness":
            if watch.ready:
                watch.ready = False
                self._wake(watch.uid)
            return False
        watch.failed = kind
        self._wake(watch.uid)
        return True


class _Pace:
    """When one probe is asked next, and how its answers have run. Pure; times are monotonic seconds."""

    def __init__(self, kind: str, probe: Obj, now: float, *, eager: bool) -> None:
        self.period = float(probe.get("periodSeconds") or 10)
        self.successes = self.failures = 0
        self._eager = eager and kind != "liveness"
        # The first counted try of an eager probe comes after one period: before, early tries stand in for it.
        self._next = now + self.period if self._eager else now
        self._early = EARLY_SECONDS_EXEC if "exec" in probe else EARLY_SECONDS

    def begins_period(self, now: float) -> bool:
        """Whether a try at `now` is one that counts; moves on to the next period if so."""
        if now < self._next - 1e-6:
            return False
        self._next += self.period
        if self._next <= now:  # a try that took longer than a period: no burst to make up for it
            self._next = now + self.period
        return True

    def succeeded(self) -> None:
        self.successes += 1
        self.failures = 0
        self._eager = False

    def failed(self) -> None:
        self.failures += 1
        self.successes = 0

    def pause(self, now: float) -> float:
        """Seconds until the next try."""
        left = max(self._next - now, 0.0)
        if not self._eager:
            return left
        early, self._early = self._early, self._early * EARLY_GROWTH
        return min(early, left)


def _address(seen: PodSeen) -> str:
    sandbox = seen.sandbox
    return (sandbox.config.ip if sandbox is not None else "") or "127.0.0.1"
