"""The `status` of a pod that only pretends, from its `Life`. Pure; phase and conditions are those of any pod."""

from __future__ import annotations

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.kubelet import pod_spec
from wherry.kubelet.backoff import go_duration
from wherry.kubelet.container_status import waiting
from wherry.kubelet.observation import ID_PREFIX
from wherry.kubelet.pod_phase import conditions, phase
from wherry.kubelet.quality import qos_class
from wherry.kubelet.simulated.life import Ended, Life


def pod_status(pod: Obj, life: Life, node_address: str, now: float) -> Obj:
    """What the node's kubelet would write if these containers were real."""
    recorded: Obj = pod.get("status") or {}
    begun = life.started_at is not None or life.last is not None
    init = [_init(pod, one, life, begun, now) for one in pod_spec.init_containers(pod)]
    main = [_main(pod, one, life, now) for one in pod_spec.containers(pod)]
    ending = life.over
    reached = recorded["phase"] if pod_spec.is_terminal(pod) else phase(pod, init, main, ending=ending)
    status: Obj = {"phase": reached}
    if pod["metadata"].get("generation"):
        status["observedGeneration"] = pod["metadata"]["generation"]
    ready = bool(life.address) and reached not in ("Succeeded", "Failed")
    status["conditions"] = conditions(
        pod, reached, init, main, sandbox_ready=ready, not_enforced="", resized=False, now=now
    )
    status |= {"hostIP": node_address, "hostIPs": [{"ip": node_address}]}
    if life.address:
        status |= {"podIP": life.address, "podIPs": [{"ip": life.address}]}
    status["startTime"] = recorded.get("startTime") or rfc3339(life.created_at)
    if init:
        status["initContainerStatuses"] = init
    status["containerStatuses"] = main
    status["qosClass"] = recorded.get("qosClass") or qos_class(pod)
    return status


def invalid_status(pod: Obj, problem: str, node_address: str, now: float) -> Obj:
    """Of a pod whose script cannot be followed: it waits, and says why."""
    main = [_status(pod, one, waiting("InvalidSimulation", problem), {}, 0, False) for one in pod_spec.containers(pod)]
    return {
        "phase": "Pending",
        "conditions": conditions(
            pod, "Pending", [], main, sandbox_ready=False, not_enforced="", resized=False, now=now
        ),
        "hostIP": node_address,
        "hostIPs": [{"ip": node_address}],
        "startTime": (pod.get("status") or {}).get("startTime") or rfc3339(now),
        "containerStatuses": main,
        "qosClass": qos_class(pod),
    }


def _main(pod: Obj, container: Obj, life: Life, now: float) -> Obj:
    last = _ended(pod, container, life.last, life.restarts) if life.last is not None else {}
    if life.started_at is not None:
        state: Obj = {"running": {"startedAt": rfc3339(life.started_at)}}
        return _status(pod, container, state, last, life.restarts, now >= life.is_ready_at)
    if last and (life.over or not _again(pod, container, life)):
        return _status(pod, container, last, {}, life.restarts, False)
    if last:
        text = (
            f"back-off {go_duration(life.delay)} restarting failed container={container['name']} "
            f"pod={pod_spec.full_name(pod)}"
        )
        return _status(pod, container, waiting("CrashLoopBackOff", text), last, life.restarts, False)
    return _status(pod, container, waiting("ContainerCreating"), {}, life.restarts, False)


def _again(pod: Obj, container: Obj, life: Life) -> bool:
    return life.last is not None and pod_spec.restarts_after(pod, container, life.last.exit_code)


def _init(pod: Obj, container: Obj, life: Life, begun: bool, now: float) -> Obj:
    """An init container is over in no time; a sidecar shares the fate of the pod."""
    if pod_spec.is_sidecar(container):
        return _main(pod, container, life, now)
    if not begun:
        return _status(pod, container, waiting("PodInitializing"), {}, 0, False)
    starts = [life.started_at, life.last.started_at if life.last is not None else None]
    first = min(moment for moment in starts if moment is not None)
    status = _status(pod, container, _ended(pod, container, Ended(first, first, 0), 0), {}, 0, True)
    return {**status, "started": False}


def _status(pod: Obj, container: Obj, state: Obj, last: Obj, restarts: int, ready: bool) -> Obj:
    status: Obj = {"name": container["name"], "state": state, "lastState": last, "ready": ready}
    status |= {"restartCount": restarts, "image": container.get("image", ""), "imageID": ""}
    if "waiting" not in state:
        status["containerID"] = _id(pod, container, restarts)
    status["started"] = "running" in state
    return status


def _ended(pod: Obj, container: Obj, ended: Ended, attempt: int) -> Obj:
    return {
        "terminated": {
            "exitCode": ended.exit_code,
            "reason": "Error" if ended.exit_code else "Completed",
            "startedAt": rfc3339(ended.started_at),
            "finishedAt": rfc3339(ended.finished_at),
            "containerID": _id(pod, container, attempt),
        }
    }


def _id(pod: Obj, container: Obj, attempt: int) -> str:
    return f"{ID_PREFIX}simulated-{pod_spec.uid_of(pod)}-{container['name']}-{attempt}"
