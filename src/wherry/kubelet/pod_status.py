"""The whole `status` of a pod, assembled. Pure: container statuses, phase and conditions come from the files of their name."""

from __future__ import annotations

from msgspec import Struct

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.cri.interface import ContainerStatus
from wherry.kubelet import pod_spec
from wherry.kubelet.container_status import Known, container_statuses, is_resized
from wherry.kubelet.observation import PodSeen, is_running
from wherry.kubelet.pod_phase import conditions, phase
from wherry.kubelet.quality import qos_class


class Verdict(Struct, frozen=True):
    """A pod ended by the kubelet itself (deadline, refused, evicted): phase Failed with this reason and text."""

    reason: str
    message: str
    disrupts: bool = False
    """It could have gone on, but others had to stay."""


def pod_status(
    pod: Obj,
    seen: PodSeen,
    known: Known,
    *,
    node_address: str,
    pod_address: str,
    ending: bool,
    verdict: Verdict | None,
    not_enforced: str,
    now: float,
) -> Obj:
    """What the kubelet would write; `ending`: nothing will be started again; `not_enforced`: what is not, or empty."""
    init, main, ephemeral = container_statuses(pod, seen, known)
    recorded: Obj = pod.get("status") or {}
    reached = phase(pod, init, main, ending=ending)
    over = not any("running" in each["state"] for each in (*init, *main))
    if pod_spec.is_terminal(pod):
        reached = recorded["phase"]  # a final phase is final
    elif ending and not (over and seen.is_gone) and (verdict is not None or reached in ("Succeeded", "Failed")):
        reached = recorded.get("phase") or "Pending"  # not final before everything, sidecars too, has ended
    elif verdict is not None:
        reached = "Failed"
    ready = seen.ready_sandbox is not None and not (reached in ("Succeeded", "Failed") and seen.is_gone)
    status: Obj = {"phase": reached}
    generation = pod["metadata"].get("generation")
    if generation:
        status["observedGeneration"] = generation
    status["conditions"] = conditions(
        pod,
        reached,
        init,
        main,
        sandbox_ready=ready,
        not_enforced=not_enforced,
        resized=any(is_resized(spec, found) for spec in pod_spec.containers(pod) if (found := _running(seen, spec))),
        disrupted=verdict.message if verdict is not None and verdict.disrupts else "",
        now=now,
    )
    if verdict is not None and reached == "Failed":
        status |= {"reason": verdict.reason, "message": verdict.message}
    elif reached == "Failed" and recorded.get("reason"):
        status |= {key: recorded[key] for key in ("reason", "message") if recorded.get(key)}
    status |= {"hostIP": node_address, "hostIPs": [{"ip": node_address}]}
    address = pod_address or recorded.get("podIP", "")
    if address:
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    status["startTime"] = recorded.get("startTime") or rfc3339(now)
    if verdict is not None and not any(_has_begun(each) for each in (*init, *main)):
        init, main = [], []  # never let in: nothing is to be said of its containers
    if init:
        status["initContainerStatuses"] = init
    if main:
        status["containerStatuses"] = main
    if ephemeral:
        status["ephemeralContainerStatuses"] = ephemeral
    status["qosClass"] = recorded.get("qosClass") or qos_class(pod)
    return status


def _has_begun(status: Obj) -> bool:
    return "waiting" not in status["state"] or bool(status.get("lastState"))


def _running(seen: PodSeen, spec: Obj) -> ContainerStatus | None:
    found = seen.latest(spec["name"])
    return found if is_running(found) else None
