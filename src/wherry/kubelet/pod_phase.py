"""Phase and conditions of a pod from its container statuses. Pure.

Rule 1: every rule about which phase or condition follows from which statuses lives here.
Rule 2: this file sees wire statuses only; it does not know how they came about.
Texts and reasons are Kubernetes' own (pod lifecycle documentation; kubelet's observable behaviour).
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.kubelet import pod_spec

ENFORCED = "wherry.dev/Enforced"
"""False, with what is not enforced, on pods that ask for more than this node can do, or are asked to; absent on all others."""
RESIZE = "PodResizePending"
DISRUPTED = "DisruptionTarget"
OWN_CONDITIONS = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    RESIZE,
    ENFORCED,
    DISRUPTED,
)
"""The conditions the kubelet writes, in the order it lists them; all others belong to somebody else."""


def phase(pod: Obj, init: list[Obj], main: list[Obj], *, ending: bool) -> str:
    """`ending`: nothing will be started again (deletion or deadline), so an end is final whatever the restart policy."""
    sidecar_names = {each["name"] for each in pod_spec.sidecars(pod)}
    pending = failed = 0
    for status in init:
        if status["name"] in sidecar_names:
            pending += _sidecar_pending(status)
            continue
        ended = _ended(status)
        if ended is None:
            pending += 1
        elif ended != 0:
            failed += 1
            pending += 1
    if failed and pod_spec.restart_policy(pod) == "Never":
        return "Failed"
    running, waiting_new, codes = _count(main)
    begun = running > 0 or bool(codes)
    if pending and ending and not any("running" in each["state"] for each in (*init, *main)):
        return "Failed"
    if pending and not begun:
        return "Pending"
    if waiting_new:
        return "Failed" if ending and not running else "Pending"
    if running:
        return "Running"
    return _ended_phase(pod, codes, main, ending) if codes else "Pending"


def _ended_phase(pod: Obj, codes: list[int], main: list[Obj], ending: bool) -> str:
    """All ordinary containers have ended at least once and none runs."""
    if ending:
        return "Succeeded" if not any(codes) else "Failed"
    specs = {each["name"]: each for each in pod_spec.containers(pod)}
    again = any(
        pod_spec.restarts_after(pod, specs[status["name"]], code) for status, code in zip(main, codes, strict=True)
    )
    if again:
        return "Running"
    return "Succeeded" if not any(codes) else "Failed"


def _count(main: list[Obj]) -> tuple[int, int, list[int]]:
    """How many run, how many have never run, and the exit codes of the others."""
    running = waiting_new = 0
    codes: list[int] = []
    for status in main:
        if "running" in status["state"]:
            running += 1
            continue
        code = _ended(status)
        if code is None:
            waiting_new += 1
        else:
            codes.append(code)
    return running, waiting_new, codes


def _ended(status: Obj) -> int | None:
    """The exit code of a container that has ended and does not run now; waiting to be restarted counts as ended."""
    ended = status["state"].get("terminated")
    if ended is None and "waiting" in status["state"]:
        ended = (status.get("lastState") or {}).get("terminated")
    return int(ended["exitCode"]) if ended is not None else None


def _sidecar_pending(status: Obj) -> int:
    if "running" in status["state"]:
        return 0 if status.get("started") else 1
    return 1 if _ended(status) is None else 0


def conditions(
    pod: Obj,
    pod_phase: str,
    init: list[Obj],
    main: list[Obj],
    *,
    sandbox_ready: bool,
    not_enforced: str,
    resized: bool,
    now: float,
    disrupted: str = "",
) -> list[Obj]:
    """The kubelet's own conditions; `lastTransitionTime` moves only when a condition's status changes. `disrupted`: why the
    kubelet ends the pod so that others can stay, or empty."""
    sidecar_names = {each["name"] for each in pod_spec.sidecars(pod)}
    served = [each for each in init if each["name"] in sidecar_names] + main
    containers_ready = _containers_ready(pod_phase, served)
    wanted = {
        "PodReadyToStartContainers": {"status": _text(sandbox_ready)},
        "Initialized": _initialized(pod_phase, init, main, sidecar_names),
        "Ready": _ready(pod, pod_phase, containers_ready),
        "ContainersReady": containers_ready,
        "PodScheduled": {"status": "True"},
    }
    if resized:
        wanted[RESIZE] = {
            "status": "True",
            "reason": "Infeasible",
            "message": "resources of running containers are not changed on this node; a new container gets them",
        }
    elif pod_spec.condition(pod, RESIZE) is not None:
        wanted[RESIZE] = {"status": "False"}
    if not_enforced:
        wanted[ENFORCED] = _not("NotEnforced", not_enforced)
    elif pod_spec.condition(pod, ENFORCED) is not None:
        wanted[ENFORCED] = {"status": "True"}  # a NetworkPolicy selected it and does so no more
    if disrupted:
        wanted[DISRUPTED] = {"status": "True", "reason": "TerminationByKubelet", "message": disrupted}
    return [_condition(pod, kind, wanted[kind], now) for kind in OWN_CONDITIONS if kind in wanted]


def _containers_ready(pod_phase: str, served: list[Obj]) -> Obj:
    if pod_phase == "Succeeded":
        return {"status": "False", "reason": "PodCompleted"}
    if pod_phase == "Failed":
        return {"status": "False", "reason": "PodFailed"}
    unready = [each["name"] for each in served if not each["ready"]]
    if unready:
        return _not("ContainersNotReady", f"containers with unready status: {_names(unready)}")
    return {"status": "True"}


def _initialized(pod_phase: str, init: list[Obj], main: list[Obj], sidecar_names: set[str]) -> Obj:
    if pod_phase == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"}
    if any("running" in each["state"] or _ended(each) is not None for each in main):
        return {"status": "True"}  # ordinary containers have begun, so initialization was complete
    incomplete = [
        each["name"] for each in init if not (each.get("started") if each["name"] in sidecar_names else each["ready"])
    ]
    if incomplete:
        return _not("ContainersNotInitialized", f"containers with incomplete status: {_names(incomplete)}")
    return {"status": "True"}


def _ready(pod: Obj, pod_phase: str, containers_ready: Obj) -> Obj:
    if containers_ready["status"] != "True":
        return dict(containers_ready)
    missing: list[str] = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        found = pod_spec.condition(pod, kind)
        if found is None:
            missing.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif found.get("status") != "True":
            missing.append(f'the status of pod readiness gate "{kind}" is not "True", but {found.get("status")}')
    return _not("ReadinessGatesNotReady", ", ".join(missing)) if missing else {"status": "True"}


def _condition(pod: Obj, kind: str, wanted: Obj, now: float) -> Obj:
    recorded = pod_spec.condition(pod, kind)
    same = recorded is not None and recorded.get("status") == wanted["status"]
    moved = recorded.get("lastTransitionTime") if same and recorded is not None else None
    entry: Obj = {"type": kind}
    generation = pod["metadata"].get("generation")
    if generation:
        entry["observedGeneration"] = generation
    return {**entry, "lastProbeTime": None, "lastTransitionTime": moved or rfc3339(now), **wanted}


def _not(reason: str, message: str) -> Obj:
    return {"status": "False", "reason": reason, "message": message}


def _names(names: Iterable[str]) -> str:
    return f"[{' '.join(names)}]"


def _text(value: bool) -> str:
    return "True" if value else "False"
