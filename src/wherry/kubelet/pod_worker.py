"""One pod, one worker: observes, asks `pod_lifecycle.plan`, performs, and begins again, one thing at a time and in order.

Not here: what to do (pod_lifecycle), how it is done (pod_actions, pod_stop), what a status says (pod_status).
Always true: only the worker of a pod changes anything of that pod in the runtime. A wish to end the pod interrupts
whatever its worker is doing; every step may be repeated, so being interrupted loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
from math import inf

from wherry.api.types import Obj
from wherry.cri.interface import ContainerState
from wherry.kubelet import pod_spec
from wherry.kubelet.container_status import Known
from wherry.kubelet.enforcement import not_enforced
from wherry.kubelet.eviction.texts import REASON, REJECTED
from wherry.kubelet.observation import Hold, PodSeen
from wherry.kubelet.parts import Parts
from wherry.kubelet.pod_actions import RETRY_SECONDS, PodActions
from wherry.kubelet.pod_lifecycle import (
    DEADLINE_MESSAGE,
    DEADLINE_REASON,
    Situation,
    crash_holds,
    deadline,
    plan,
    was_begun,
)
from wherry.kubelet.pod_phase import ENFORCED
from wherry.kubelet.pod_status import Verdict, pod_status
from wherry.kubelet.pod_stop import effective_grace, stop_containers
from wherry.kubelet.termination_message import termination_message

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.2  # after the runtime has come back: let its first events pass


class PodWorker:
    """`update`, `remove` and `wake` return at once; `run` ends when nothing of the pod is left here or in the API."""

    def __init__(self, pod: Obj, parts: Parts) -> None:
        self.uid = pod_spec.uid_of(pod)
        self.pod = pod
        self._parts = parts
        self._woken = asyncio.Event()
        self._scope: asyncio.Timeout | None = None
        self._removed = False
        self._over = False
        """Nothing will be started again, though the pod may not be deleted."""
        self._verdict: Verdict | None = None
        self._evicted: asyncio.Event | None = None
        """Set when the pod, which has to go for others to stay, has ended."""
        self._grace_at_most = inf
        self._clearing = False
        """What is left of the pod is being removed: what can be seen of it says nothing any more."""
        self._cleaned = False
        self._not_enforced: str | None = None
        self._users_are_real = True
        """What this node does not enforce of the pod; None: not looked yet."""
        self._reconsider = True
        self._report_pending = False
        self._announced: dict[str, float] = {}
        self._messages: dict[str, str] = {}
        self._actions = PodActions(self.uid, parts, self._seen, self._report)

    # --- what others tell it -------------------------------------------------------------------------------------

    def update(self, pod: Obj) -> None:
        """The API has a newer version."""
        before, self.pod = self.pod, pod
        self._parts.status.shown(pod)
        if pod_spec.is_deleted(pod) and (not pod_spec.is_deleted(before) or _grace(pod) < _grace(before)):
            self._interrupt()
        elif pod["metadata"].get("generation") != before["metadata"].get("generation") or _gates(pod) != _gates(before):
            self._actions.wait_until = None
            self._reconsider = True
        elif _labels(pod) != _labels(before):
            self._reconsider = True
        else:
            return  # our own status coming back, or annotations: nothing here depends on them but downward API volumes
        self._woken.set()

    def remove(self) -> None:
        """The API no longer has the pod: whatever runs of it is ended."""
        self._removed = True
        if not self._clearing:
            self._interrupt()
        self._woken.set()

    def evict(self, message: str, grace: float) -> asyncio.Event | None:
        """The node lacks what this pod uses. What is set when it has ended; None when it is over, or goes for that already."""
        if self._removed or self._over or pod_spec.is_terminal(self.pod):
            return None
        self._verdict, self._over, self._grace_at_most = Verdict(REASON, message, disrupts=True), True, grace
        self._evicted = asyncio.Event()
        self._parts.events.warning(self.pod, REASON, message)
        self._interrupt()
        self._woken.set()
        return self._evicted

    def wake(self) -> None:
        """Something the pod depends on has changed: look again."""
        self._woken.set()
        if self._scope is not None and not self._report_pending:
            # A long step is under way (a pull, a grace period): its end may be far, the news is not.
            self._report_pending = True
            asyncio.get_running_loop().call_soon(self._report_meanwhile)

    def retry_now(self) -> None:
        """An object this pod may be waiting for has appeared or changed."""
        if self._actions.retry_now():
            self.wake()

    def reconsider(self) -> None:
        """What is enforced of this pod may differ from now on."""
        self._reconsider = True
        self._woken.set()

    @property
    def is_ending(self) -> bool:
        return self._removed or self._over or pod_spec.is_deleted(self.pod) or pod_spec.is_terminal(self.pod)

    # --- its life ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        while not (self._removed and self._cleaned):
            self._woken.clear()
            wake_at: float | None = None
            try:
                async with asyncio.timeout(None) as scope:
                    self._scope = scope
                    wake_at = await self._step()
            except TimeoutError:
                if not scope.expired():
                    raise
                continue  # interrupted: the wish that did it is acted upon now
            except ConnectionError as error:
                log.warning("pod %s: the runtime is away: %s", self.uid, error)
                await self._parts.pleg.wait_synced()
                wake_at = self._parts.clock.time() + RECONNECT_SECONDS
            except Exception as error:
                # One pod that we cannot handle, through whatever fault, must not take the others' workers with it.
                log.exception("pod %s", self.uid)
                self._parts.events.warning(self.pod, "FailedSync", f"error syncing pod: {error}")
                wake_at = self._parts.clock.time() + RETRY_SECONDS
            finally:
                self._scope = None
            if not (self._removed and self._cleaned):
                await self._wait(wake_at)

    async def _wait(self, wake_at: float | None) -> None:
        if wake_at is None:
            await self._woken.wait()
            return
        try:
            async with asyncio.timeout(max(wake_at - self._parts.clock.time(), 0.001)):
                await self._woken.wait()
        except TimeoutError:
            pass

    def _interrupt(self) -> None:
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def _step(self) -> float | None:
        await self._parts.pleg.wait_synced()
        if self.is_ending:
            return await self._end()
        return await self._sync()

    async def _sync(self) -> float | None:
        """Perform plans until one has no actions; the time at which to look again, if time matters."""
        if self._reconsider and await self._refuses():
            return await self._end()
        while True:
            now = self._parts.clock.time()
            pod, seen = self._parts.status.recorded(self.pod), self._seen()
            ends_at = deadline(pod)
            if ends_at is not None and ends_at <= now:
                self._verdict, self._over = Verdict(DEADLINE_REASON, DEADLINE_MESSAGE), True
                self._parts.events.normal(pod, DEADLINE_REASON, DEADLINE_MESSAGE)
                return await self._end()
            situation = self._situation(pod, seen, now)
            decided = plan(situation)
            if decided.finished:
                self._over = True
                return await self._end()
            self._announce_back_off(pod, situation)
            self._report()
            if self._actions.wait_until is not None and self._actions.wait_until > now:
                if not decided.kills:
                    return _earliest(self._actions.wait_until, decided.wake_at, ends_at)
                await self._actions.kill(pod, decided.kills)
                continue
            self._actions.wait_until = None
            if not decided.has_actions:
                for sandbox in seen.sandboxes[1:]:
                    await self._parts.garbage.remove_sandbox(self.uid, sandbox.id)
                if not self._actions.volumes_ready:
                    await self._actions.set_up_volumes(pod)  # a restarted kubelet: keep their contents fresh again
                return _earliest(decided.wake_at, ends_at, self._actions.wait_until)
            await self._actions.perform(decided, pod, seen)

    async def _refuses(self) -> bool:
        """Say, once, what of the pod is not enforced here; True when it is therefore not run at all."""
        self._reconsider = False
        first = self._not_enforced is None
        if first and (refused := self._refused_under_pressure()):
            self._verdict, self._over = Verdict(REASON, REJECTED + refused), True
            self._parts.events.warning(self.pod, REASON, refused)
            return True
        runtime = await self._parts.runtime.status()
        self._users_are_real = not runtime.get("users")
        found = not_enforced(self.pod, runtime, self._parts.policies.selecting(self.pod))
        self._not_enforced = "; ".join(found)
        said = pod_spec.condition(self.pod, ENFORCED) or {}
        if found and self._not_enforced != said.get("message"):
            self._parts.events.warning(self.pod, "NotEnforced", self._not_enforced)
        if found and first and self._parts.config.strict:
            self._verdict, self._over = Verdict("NotEnforced", self._not_enforced), True
        return self._over

    def _refused_under_pressure(self) -> str:
        """A pod that has begun, perhaps under an agent before this one, was let in."""
        new = not self._parts.pleg.pod(self.uid).sandboxes and not was_begun(self._parts.status.recorded(self.pod))
        return self._parts.pressure.refuses(self.pod) if new else ""

    def _situation(self, pod: Obj, seen: PodSeen, now: float) -> Situation:
        health = self._parts.prober.health(pod, seen, frozenset(self._actions.in_hook))
        return Situation(pod, seen, health, self._actions.holds, self._parts.crash_backoff, now)

    def _seen(self) -> PodSeen:
        seen = self._parts.pleg.pod(self.uid)
        for container in seen.every():
            if container.finished_at and container.id not in self._messages:
                spec = pod_spec.find_container(self.pod, container.config.name)
                self._messages[container.id] = termination_message(self._parts.config, self.pod, spec or {}, container)
        return seen

    # --- what it reports -----------------------------------------------------------------------------------------

    def _report_meanwhile(self) -> None:
        self._report_pending = False
        if self._scope is not None and self._parts.pleg.is_synced() and not self._clearing:
            self._report()

    def _report(self) -> None:
        """Tell the status manager and the prober how the pod is."""
        if self._removed:
            return
        pod, seen, now = self._parts.status.recorded(self.pod), self._seen(), self._parts.clock.time()
        situation = self._situation(pod, seen, now)
        holds = self._shown_holds(situation)
        status = pod_status(
            pod,
            seen,
            Known(situation.health, holds, self._messages, self.is_ending, self._users_are_real),
            node_address=self._parts.config.address,
            pod_address=self._address(seen),
            ending=self.is_ending,
            verdict=self._verdict,
            not_enforced=self._not_enforced or "",
            now=now,
        )
        idle = all(each.state is ContainerState.CREATED for each in seen.every())
        self._parts.status.set(self.pod, status, lazy=idle and not holds and not self.is_ending)
        if not self._over:
            self._parts.prober.sync(pod, seen, frozenset(self._actions.in_hook), ending=self.is_ending)

    def _shown_holds(self, situation: Situation) -> dict[str, Hold]:
        if self.is_ending:
            return {}
        crashed = crash_holds(situation)
        running = {name for name, found in situation.seen.containers.items() if found[0] in situation.seen.alive()}
        return {**crashed, **{name: hold for name, hold in self._actions.holds.items() if name not in running}}

    def _address(self, seen: PodSeen) -> str:
        if pod_spec.host_network(self.pod):
            return self._parts.config.address
        return seen.sandbox.config.ip if seen.sandbox is not None else ""

    def _announce_back_off(self, pod: Obj, situation: Situation) -> None:
        """One BackOff event for each wait."""
        for name, hold in crash_holds(situation).items():
            if self._announced.get(name) != hold.until:
                self._announced[name] = hold.until
                text = f"Back-off restarting failed container {name} in pod {pod_spec.full_name(pod)}"
                self._parts.events.warning(pod, "BackOff", text, name)

    # --- its end -------------------------------------------------------------------------------------------------

    async def _end(self) -> float | None:
        """Stop what runs, report how it ended, and leave nothing behind once the pod is deleted."""
        pod = self._parts.status.recorded(self.pod)
        if self._cleaned:
            return None
        evicted = (pod.get("status") or {}).get("reason") == REASON
        if evicted and pod_spec.is_terminal(self.pod):
            self._clearing = True  # by an agent before this one, perhaps: what it said stays
        if not self._clearing:
            self._report()
        if not self._seen().is_gone:
            self._parts.prober.end(self.uid, keep_readiness=True)
            grace, began = effective_grace(pod, self._removed), self._parts.clock.monotonic()
            grace = min(grace, self._grace_at_most)
            if pod_spec.is_deleted(pod) and not self._removed:
                await self._parts.routes.wait_unrouted(pod, grace / 2)
            left = grace - (self._parts.clock.monotonic() - began)
            await stop_containers(self._parts, pod, self._seen(), grace=left)
            for sandbox in self._seen().sandboxes:
                await self._parts.runtime.stop_pod_sandbox(sandbox.id)
            await self._parts.pleg.refresh_sandboxes()
        self._parts.prober.end(self.uid)
        if not self._clearing:
            self._report()
        self._over = True
        await self._parts.volumes.tear_down(self.uid)
        self._parts.addresses.release(self.uid)
        evicted = evicted or self._evicted is not None
        if not (evicted or self._removed or pod_spec.is_deleted(self.pod)):
            return None  # finished, but its logs and statuses are kept until somebody deletes it
        self._clearing = True
        await self._parts.garbage.remove_pod(pod)
        if self._evicted is not None:
            self._evicted.set()
        if not (self._removed or pod_spec.is_deleted(self.pod)):
            return None  # what it held was wanted back; its status is kept
        self._cleaned = True
        for container in pod_spec.all_containers(pod):
            self._parts.crash_backoff.forget((self.uid, container["name"]))
        self._parts.images.forget(self.uid)
        if not self._removed:
            self._parts.status.finish(self.pod)
        return None


def _grace(pod: Obj) -> int:
    return int(pod["metadata"].get("deletionGracePeriodSeconds") or 0)


def _labels(pod: Obj) -> Obj:
    return pod["metadata"].get("labels") or {}


def _gates(pod: Obj) -> list[Obj]:
    """Conditions of others that readiness gates look at."""
    wanted = {gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()}
    conditions = (pod.get("status") or {}).get("conditions") or []
    return [
        {"type": each["type"], "status": each["status"]} for each in conditions if wanted and each["type"] in wanted
    ]


def _earliest(*moments: float | None) -> float | None:
    return min((moment for moment in moments if moment is not None), default=None)
