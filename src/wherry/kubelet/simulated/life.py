"""The life of one pod that only pretends: what has happened to its containers by now, and when something happens next.

All containers of a pod share one fate. `advance` is the only thing that changes a `Life`; it takes the time from its
caller, does everything that has come due in order, and is therefore the same whether it is called late or early.
"""

from __future__ import annotations

from msgspec import Struct

from wherry.aio.clock import parse_rfc3339
from wherry.api.types import Obj
from wherry.kubelet import pod_spec
from wherry.kubelet.pod_stop import effective_grace
from wherry.kubelet.simulated.script import Script

BACKOFF_SECONDS = 10.0
BACKOFF_SECONDS_MAX = 300.0
TERMINATED = 143
"""128 + SIGTERM: what most programs end with that were told to."""
KILLED = 137
"""128 + SIGKILL: what ends who has not ended when its grace period is over."""


class Ended(Struct, frozen=True):
    """One attempt that is over; Unix seconds."""

    started_at: float
    finished_at: float
    exit_code: int


class Life(Struct):
    """`created_at`: when the node first saw the pod. Without `started_at` nothing runs."""

    script: Script
    created_at: float
    address: str = ""
    started_at: float | None = None
    restarts: int = 0
    last: Ended | None = None
    again_at: float | None = None
    """A container that crashed is started again then (CrashLoopBackOff)."""
    delay: float = 0.0
    """The back-off that `again_at` came from, in seconds."""
    stop_at: float | None = None
    killed: bool = False
    over: bool = False
    """Nothing will run again."""

    @property
    def is_ready_at(self) -> float:
        return float("inf") if self.started_at is None else self.started_at + self.script.ready_after

    def next_at(self, now: float) -> float | None:
        """When the next thing happens; None: nothing by itself."""
        if self.over:
            return None
        moments = [self.stop_at]
        if self.started_at is None:
            if self.stop_at is None:  # who is told to end does not begin
                moments.append(self.again_at if self.last is not None else self.created_at + self.script.start_after)
        else:
            if self.is_ready_at > now:
                moments.append(self.is_ready_at)
            if self.script.run_for is not None:
                moments.append(self.started_at + self.script.run_for)
        return min((moment for moment in moments if moment is not None), default=None)

    def advance(self, pod: Obj, now: float) -> None:
        """Do what has come due by `now`."""
        if pod_spec.is_deleted(pod) and self.stop_at is None:
            grace = effective_grace(pod, removed=False)
            self.killed = self.script.stop_after > grace
            self.stop_at = now + min(self.script.stop_after, grace)
        while not self.over:
            due = self._due(now)
            if due is None or due > now:
                return
            self._happen(pod, due)

    def _due(self, now: float) -> float | None:
        """As `next_at`, without getting ready, which changes nothing here."""
        if self.stop_at is not None and self.stop_at <= now:
            return self.stop_at
        if self.started_at is not None:
            return None if self.script.run_for is None else self.started_at + self.script.run_for
        if self.stop_at is not None:
            return None  # who is told to end does not begin
        return self.again_at if self.last is not None else self.created_at + self.script.start_after

    def _happen(self, pod: Obj, moment: float) -> None:
        if moment == self.stop_at:
            self._end(moment, KILLED if self.killed else TERMINATED)
            self.over = True
        elif self.started_at is None:
            self.restarts += self.last is not None
            self.started_at, self.again_at = moment, None
        else:
            ran = moment - self.started_at
            self._end(moment, self.script.exit_code)
            again = any(pod_spec.restarts_after(pod, one, self.script.exit_code) for one in pod_spec.containers(pod))
            if not again or self.stop_at is not None:
                self.over = True
                return
            # The first restart follows at once, and so does one after ten good minutes, as with a real kubelet.
            forgiven = self.restarts == 0 or ran > 2 * BACKOFF_SECONDS_MAX
            self.delay = 0.0 if forgiven else min(max(self.delay * 2, BACKOFF_SECONDS), BACKOFF_SECONDS_MAX)
            self.again_at = moment + self.delay

    def _end(self, moment: float, code: int) -> None:
        if self.started_at is not None:
            self.last = Ended(self.started_at, moment, code)
        self.started_at = None


def resumed(pod: Obj, script: Script, now: float) -> Life:
    """The life of a pod that may have begun before we did: what the API has recorded of it goes on."""
    status: Obj = pod.get("status") or {}
    life = Life(script, now, status.get("podIP", ""))
    if pod_spec.is_terminal(pod):
        life.over = True
        return life
    for one in status.get("containerStatuses") or ():
        life.restarts = max(life.restarts, one.get("restartCount", 0))
        running = (one.get("state") or {}).get("running")
        if running:
            life.started_at = parse_rfc3339(running["startedAt"])
        ended = (one.get("lastState") or {}).get("terminated") or (one.get("state") or {}).get("terminated")
        if ended and ended.get("finishedAt"):
            finished = parse_rfc3339(ended["finishedAt"])
            life.last = Ended(parse_rfc3339(ended.get("startedAt") or ended["finishedAt"]), finished, ended["exitCode"])
            life.again_at = finished + BACKOFF_SECONDS
    return life
