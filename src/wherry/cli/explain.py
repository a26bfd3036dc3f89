"""Why a workload is not ready: which object, its last warning, its last log line, and what to try.

Reads only through the API, so it says what `kubectl describe` and `kubectl logs` would have said.
"""

from __future__ import annotations

from dataclasses import dataclass

from wherry.api.errors import StatusError
from wherry.api.labels import Selector
from wherry.api.resources import EVENTS, PODS
from wherry.api.types import Obj
from wherry.cli.connect import Connection
from wherry.client.logs import lines as log_lines
from wherry.client.rest import Client

HINTS = {
    "ErrImagePull": "build it (`wherry build`), load it (`wherry image load`), or check its name and registry",
    "ImagePullBackOff": "build it (`wherry build`), load it (`wherry image load`), or check its name and registry",
    "ErrImageNeverPull": "the image is not in the local store: `wherry image ls` lists what is there",
    "InvalidImageName": "correct spec.containers[].image",
    "CreateContainerConfigError": "create the ConfigMap, Secret or key it names, or mark it optional",
    "CrashLoopBackOff": "look at the log of the run that failed: kubectl logs {pod} -n {namespace} --previous",
    "Unschedulable": "lower its requests, or free what other pods request: kubectl describe node",
    "OOMKilled": "raise resources.limits.memory",
}
LOG_CHARACTERS = 240  # one line of a terminal or two


@dataclass(frozen=True, slots=True)
class Reason:
    """One pod that is in the way; every text may be empty."""

    pod: str
    waiting: str = ""
    message: str = ""
    event: str = ""
    log: str = ""
    hint: str = ""

    def lines(self) -> list[str]:
        """What to print, most telling first."""
        head = f"pod {self.pod}: {self.waiting}" if self.waiting else f"pod {self.pod}"
        rows = [head + (f": {self.message}" if self.message else "")]
        rows += [f"  last event: {self.event}"] if self.event else []
        rows += [f"  last log line: {self.log}"] if self.log else []
        rows += [f"  try: {self.hint}"] if self.hint else []
        return rows


async def pods_of(client: Client, obj: Obj) -> list[Obj]:
    """The pods a workload selects (a pod selects itself), newest last."""
    namespace = obj["metadata"].get("namespace", "")
    if obj["kind"] == "Pod":
        return [obj]
    selector = obj.get("spec", {}).get("selector")
    if not isinstance(selector, dict):
        return []
    query = str(Selector.from_object(selector))
    found: list[Obj] = (await client.list(PODS, namespace, labels=query))["items"]
    return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])


async def explain(connection: Connection, obj: Obj) -> list[Reason]:
    """A reason for each pod of `obj` that is not ready; one about `obj` itself when it has no pods."""
    client = connection.client
    pods = [pod for pod in await pods_of(client, obj) if not _ready(pod)]
    if not pods:
        event = await _last_warning(client, obj)
        return [Reason(obj["metadata"]["name"], event=event)] if event else []
    return [await _explain_pod(connection, pod) for pod in pods[-3:]]  # more of the same tells nothing new


async def _explain_pod(connection: Connection, pod: Obj) -> Reason:
    waiting, message, container = _trouble(pod)
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    hint = HINTS.get(waiting, "").format(pod=name, namespace=namespace)
    return Reason(
        name,
        waiting,
        message,
        await _last_warning(connection.client, pod),
        await _last_log_line(connection, pod, container) if container else "",
        hint,
    )


def _ready(pod: Obj) -> bool:
    status = pod.get("status", {})
    conditions = {item["type"]: item["status"] for item in status.get("conditions") or []}
    return conditions.get("Ready") == "True" or status.get("phase") == "Succeeded"


def _trouble(pod: Obj) -> tuple[str, str, str]:
    """Reason, message and container of what holds the pod up."""
    status = pod.get("status", {})
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return condition.get("reason", ""), condition.get("message", ""), ""
    statuses = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for item in statuses:
        waiting = item.get("state", {}).get("waiting") or {}
        ended = item.get("state", {}).get("terminated") or {}
        last = item.get("lastState", {}).get("terminated") or {}
        if last.get("reason") == "OOMKilled":
            return "OOMKilled", f"container {item['name']} exceeded its memory limit", item["name"]
        if waiting and waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return waiting["reason"], waiting.get("message", ""), item["name"]
        if ended and ended.get("exitCode"):
            return ended.get("reason", "Error"), f"container {item['name']} exited {ended['exitCode']}", item["name"]
    unready = next((item["name"] for item in statuses if not item.get("ready")), "")
    return ("", f"container {unready} is not ready", unready) if unready else (status.get("reason", ""), "", "")


async def _last_warning(client: Client, obj: Obj) -> str:
    fields = f"involvedObject.uid={obj['metadata']['uid']},type=Warning"
    events = (await client.list(EVENTS, obj["metadata"].get("namespace"), fields=fields))["items"]
    if not events:
        return ""
    last = max(events, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    return f"{last.get('reason', '')}: {last.get('message', '')}"


async def _last_log_line(connection: Connection, pod: Obj, container: str) -> str:
    statuses = [*(pod["status"].get("initContainerStatuses") or []), *(pod["status"].get("containerStatuses") or [])]
    state: Obj = next((item for item in statuses if item["name"] == container), {})
    previous = state.get("restartCount", 0) > 0 and "running" not in state.get("state", {})
    metadata = pod["metadata"]
    found = log_lines(
        connection.transport, metadata["namespace"], metadata["name"], container, tail=5, previous=previous
    )
    try:
        texts = [line async for line in found if line.strip()]
    except (StatusError, ConnectionError):
        return ""  # it never started, or its log is gone: the event says more
    return texts[-1][:LOG_CHARACTERS] if texts else ""
