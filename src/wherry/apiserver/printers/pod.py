"""A pod's row: one word for all its containers' states.

The word comes from the phase, then from the first init container that is not done, then from the containers, the first
of them last; deletion overrides all. The rules are those of `kubectl get pods` as documented for its STATUS column.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from wherry.aio.clock import parse_rfc3339
from wherry.api.types import Obj
from wherry.apiserver.printers.form import NONE, Printer, age, columns, condition, name, or_none, since, spec, status

COLUMNS = "Name|Ready|Status|Restarts|Age|+IP|+Node|+Nominated Node|+Readiness Gates"


class _Restarts(NamedTuple):
    """How often containers were started again, and when one last ended before that ("" if never)."""

    times: int = 0
    last: str = ""

    def plus(self, container: Obj) -> _Restarts:
        finished = ((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        last = max(self.last, finished, key=lambda text: parse_rfc3339(text) if text else 0.0)
        return _Restarts(self.times + container.get("restartCount", 0), last)

    def text(self, now: float) -> str:
        return f"{self.times} ({since(self.last, now)} ago)" if self.times and self.last else str(self.times)


class _Summary(NamedTuple):
    word: str
    ready: int
    restarts: _Restarts
    is_initializing: bool = False


def cells(pod: Obj, now: float) -> list[Any]:
    sidecars = {c["name"] for c in spec(pod).get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    total = len(spec(pod).get("containers") or []) + len(sidecars)
    initial = _init_containers(pod, _phase(pod), sidecars)
    summary = initial
    if not initial.is_initializing or _is_true(pod, "Initialized"):
        summary = _containers(pod, initial, sidecars)
    ips = [entry.get("ip", "") for entry in status(pod).get("podIPs") or []] or [status(pod).get("podIP", "")]
    return [
        name(pod),
        f"{summary.ready}/{total}",
        _deletion(pod) or summary.word,
        summary.restarts.text(now),
        age(pod, now),
        or_none(ips[0]),
        or_none(spec(pod).get("nodeName")),
        or_none(status(pod).get("nominatedNodeName")),
        _readiness_gates(pod),
    ]


def conditions(pod: Obj) -> list[Obj]:
    """Tells kubectl which rows are of pods that are done."""
    phase = status(pod).get("phase")
    if phase not in ("Succeeded", "Failed"):
        return []
    message = "The pod has completed successfully." if phase == "Succeeded" else "The pod failed."
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}]


PRINTER = Printer(columns(COLUMNS), cells, conditions)


def _phase(pod: Obj) -> str:
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("reason") == "SchedulingGated":
        return "SchedulingGated"
    return status(pod).get("reason") or status(pod).get("phase") or ""


def _init_containers(pod: Obj, word: str, sidecars: set[str]) -> _Summary:
    """Up to the first init container that still holds the others up."""
    (ready, restarts) = (0, _Restarts())
    total = len(spec(pod).get("initContainers") or [])
    for index, container in enumerate(status(pod).get("initContainerStatuses") or []):
        restarts = restarts.plus(container)
        state = container.get("state") or {}
        terminated = state.get("terminated")
        if terminated is not None and terminated.get("exitCode") == 0:
            continue
        if container.get("name") in sidecars and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        return _Summary(f"Init:{_init_word(state, index, total)}", ready, restarts, is_initializing=True)
    return _Summary(word, ready, restarts)


def _init_word(state: Obj, index: int, total: int) -> str:
    if terminated := state.get("terminated"):
        return _ended(terminated)
    waiting = (state.get("waiting") or {}).get("reason", "")
    return waiting if waiting and waiting != "PodInitializing" else f"{index}/{total}"


def _ended(terminated: Obj) -> str:
    if reason := terminated.get("reason"):
        return str(reason)
    if signal := terminated.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _containers(pod: Obj, initial: _Summary, sidecars: set[str]) -> _Summary:
    (word, ready) = (initial.word, initial.ready)
    restarts = _Restarts()
    for container in status(pod).get("initContainerStatuses") or []:
        if container.get("name") in sidecars:
            restarts = restarts.plus(container)
    has_running = False
    for container in reversed(status(pod).get("containerStatuses") or []):
        restarts = restarts.plus(container)
        state = container.get("state") or {}
        if reason := (state.get("waiting") or {}).get("reason"):
            word = reason
        elif state.get("terminated") is not None:
            word = _ended(state["terminated"])
        elif container.get("ready") and state.get("running") is not None:
            has_running = True
            ready += 1
    if word == "Completed" and has_running:
        word = "Running" if _is_true(pod, "Ready") else "NotReady"
    return _Summary(word, ready, restarts)


def _deletion(pod: Obj) -> str:
    if not pod["metadata"].get("deletionTimestamp"):
        return ""
    if status(pod).get("reason") == "NodeLost":
        return "Unknown"
    return "" if status(pod).get("phase") in ("Succeeded", "Failed") else "Terminating"


def _is_true(pod: Obj, type: str) -> bool:
    found = condition(pod, type)
    return found is not None and found.get("status") == "True"


def _readiness_gates(pod: Obj) -> str:
    gates = spec(pod).get("readinessGates") or []
    if not gates:
        return NONE
    return f"{sum(_is_true(pod, gate.get('conditionType', '')) for gate in gates)}/{len(gates)}"
