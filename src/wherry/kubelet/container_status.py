"""`status.containerStatuses` and its siblings from what was seen. Pure.

Always true: a container with a recorded restart count never shows a lower one, whatever the runtime has forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.cri.interface import ContainerState, ContainerStatus
from wherry.kubelet import pod_spec
from wherry.kubelet.observation import ID_PREFIX, Health, Hold, PodSeen
from wherry.kubelet.quality import container_resources

LOST_MESSAGE = "The container could not be located when the pod was deleted.  The container used to be Running"


class Known(Struct, frozen=True):
    """Everything beside the pod and the runtime that a status is made of."""

    health: Health = field(default_factory=Health)
    holds: Mapping[str, Hold] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)
    """Termination messages by container id."""
    ending: bool = False
    """Nothing will be started again."""
    users_are_real: bool = True
    """Containers run as the users they were started for; else nothing is said of them."""


def container_statuses(pod: Obj, seen: PodSeen, known: Known) -> tuple[list[Obj], list[Obj], list[Obj]]:
    """Statuses of init, ordinary and ephemeral containers, in the order of the spec."""
    has_init = bool(pod_spec.init_containers(pod))
    init = [_init_status(pod, each, seen, known) for each in pod_spec.init_containers(pod)]
    idle = "PodInitializing" if has_init else "ContainerCreating"
    main = [_main_status(pod, each, seen, known, idle) for each in pod_spec.containers(pod)]
    ephemeral = [_main_status(pod, each, seen, known, idle) for each in pod_spec.ephemeral_containers(pod)]
    for status in ephemeral:
        status["ready"] = False
    return init, main, ephemeral


def _main_status(pod: Obj, container: Obj, seen: PodSeen, known: Known, idle: str) -> Obj:
    status = _status(pod, container, seen, known, idle)
    latest = seen.latest(container["name"])
    running = "running" in status["state"] and latest is not None
    status["started"] = running and latest is not None and latest.id in known.health.started
    status["ready"] = status["started"] and latest is not None and latest.id in known.health.ready
    return status


def _init_status(pod: Obj, container: Obj, seen: PodSeen, known: Known) -> Obj:
    if pod_spec.is_sidecar(container):
        return _main_status(pod, container, seen, known, "PodInitializing")
    status = _status(pod, container, seen, known, "PodInitializing")
    terminated = status["state"].get("terminated")
    status["ready"] = terminated is not None and terminated["exitCode"] == 0
    status["started"] = "running" in status["state"]
    return status


def _status(pod: Obj, container: Obj, seen: PodSeen, known: Known, idle: str) -> Obj:
    name = container["name"]
    recorded = pod_spec.container_status(pod, name) or {}
    latest = seen.latest(name)
    if latest is None:
        return _without_runtime(pod, container, recorded, known, idle)
    previous = _previous(seen, name, recorded, known.messages)
    hold = known.holds.get(name)
    if latest.state is ContainerState.RUNNING:
        state: Obj = {"running": {"startedAt": rfc3339(latest.started_at)}}
    elif hold is not None:
        state = waiting(hold.reason, hold.message)
        if latest.state is ContainerState.EXITED:
            previous = terminated(latest, known.messages)
    elif latest.state is ContainerState.EXITED:
        state = terminated(latest, known.messages)
    else:
        state = waiting(idle)
    status: Obj = {"name": name, "state": state, "lastState": previous, "ready": False}
    status["restartCount"] = max(latest.config.attempt, recorded.get("restartCount", 0))
    status["image"] = latest.config.image
    status["imageID"] = latest.config.image_id
    status["containerID"] = ID_PREFIX + latest.id
    status["started"] = False
    status.update(_applied(container, latest, recorded, known))
    return status


def is_resized(container: Obj, latest: ContainerStatus) -> bool:
    """The spec asks for other resources than the container was started with."""
    return container_resources(container) != latest.config.resources


def _applied(container: Obj, latest: ContainerStatus, recorded: Obj, known: Known) -> Obj:
    """What of the spec is in effect: resources (in-place resize reads them), mounts and user."""
    applied: Obj = {}
    resources = container.get("resources") or {}
    if not is_resized(container, latest):
        if resources.get("requests"):
            applied["allocatedResources"] = dict(resources["requests"])
        if latest.state is ContainerState.RUNNING:
            applied["resources"] = {key: resources[key] for key in ("limits", "requests") if resources.get(key)}
    else:
        applied |= {key: recorded[key] for key in ("allocatedResources", "resources") if key in recorded}
    if container.get("volumeMounts"):
        applied["volumeMounts"] = [_mount_status(mount) for mount in container["volumeMounts"]]
    if not known.users_are_real:
        return applied
    linux: Obj = {"uid": latest.config.uid, "gid": latest.config.gid}
    linux["supplementalGroups"] = sorted({latest.config.gid, *latest.config.groups})
    applied["user"] = {"linux": linux}
    return applied


def _mount_status(mount: Obj) -> Obj:
    status = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        status |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
    return status


def _without_runtime(pod: Obj, container: Obj, recorded: Obj, known: Known, idle: str) -> Obj:
    """Never created, or forgotten by the runtime: then what the API has recorded is all there is."""
    hold = known.holds.get(container["name"])
    state: Obj = waiting(hold.reason, hold.message) if hold is not None else waiting(idle)
    previous = recorded.get("lastState") or {}
    recorded_state = recorded.get("state") or {}
    if "terminated" in recorded_state:
        exit_code = recorded_state["terminated"].get("exitCode", 0)
        if hold is None and (known.ending or not pod_spec.restarts_after(pod, container, exit_code)):
            state = recorded_state
        else:
            previous = recorded_state
    elif "running" in recorded_state:
        lost: Obj = {
            "terminated": {
                "exitCode": 137,
                "reason": "ContainerStatusUnknown",
                "message": LOST_MESSAGE,
                "startedAt": None,
                "finishedAt": None,
            }
        }
        if known.ending or not pod_spec.restarts_after(pod, container, 137):
            state = lost
        else:
            previous = lost
    status: Obj = {
        "name": container["name"],
        "state": state,
        "lastState": previous,
        "ready": False,
        "restartCount": recorded.get("restartCount", 0),
        "image": recorded.get("image") or container.get("image", ""),
        "imageID": recorded.get("imageID", ""),
        "started": False,
    }
    if recorded.get("containerID"):
        status["containerID"] = recorded["containerID"]
    if container.get("volumeMounts"):
        status["volumeMounts"] = [_mount_status(mount) for mount in container["volumeMounts"]]
    return status


def _previous(seen: PodSeen, name: str, recorded: Obj, messages: Mapping[str, str]) -> Obj:
    """lastState: how the attempt before the newest ended."""
    older = seen.containers[name][1:]
    for container in older:
        if container.state is ContainerState.EXITED:
            return terminated(container, messages)
    newest = seen.containers[name][0]
    if recorded.get("containerID") not in (None, ID_PREFIX + newest.id):
        # A newer container than the recorded one: the recorded end is the previous one, if it is known.
        state = recorded.get("state") or {}
        if "terminated" in state:
            return dict(state)
    return dict(recorded.get("lastState") or {})


def waiting(reason: str, message: str = "") -> Obj:
    return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}


def terminated(container: ContainerStatus, messages: Mapping[str, str]) -> Obj:
    """ContainerStateTerminated of an exited container; the message the application left wins over the runtime's."""
    state: Obj = {"exitCode": container.exit_code}
    state["reason"] = container.reason or ("Completed" if container.exit_code == 0 else "Error")
    message = messages.get(container.id) or container.message
    if message:
        state["message"] = message
    state["startedAt"] = rfc3339(container.started_at) if container.started_at else None
    state["finishedAt"] = rfc3339(container.finished_at) if container.finished_at else None
    state["containerID"] = ID_PREFIX + container.id
    return {"terminated": state}
