"""What the containers of a pod that only pretends have written by now: the annotation `simulation.wherry.dev/logs`. Pure."""

from __future__ import annotations

from wherry.aio.clock import parse_rfc3339
from wherry.api.types import Obj
from wherry.kubelet.simulated.script import PREFIX, Script


class NoLogs(LookupError):
    """There is nothing to show; the text says why and what would help."""


def written(pod: Obj, container: str, now: float) -> str:
    """Of its newest attempt, at `now` in Unix seconds. Raises NoLogs."""
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    said = Script.of(pod).logs
    if said is None:
        raise NoLogs(
            f"pod {name} runs on a simulated node, where no process writes anything: say in the annotation "
            f"{PREFIX}logs what it writes, or use real pods (the fixture `system`)"
        )
    status = next((one for one in statuses if container in ("", one["name"])), None)
    if status is None and container and container not in [one["name"] for one in pod["spec"]["containers"]]:
        raise NoLogs(f"container {container} is not valid for pod {pod['metadata']['name']}")
    state = (status or {}).get("state") or {}
    ended = state.get("terminated") or ((status or {}).get("lastState") or {}).get("terminated")
    ran = state.get("running") or ended
    if ran is None:
        raise NoLogs(f"pod {name} has not started")
    end = parse_rfc3339(ended["finishedAt"]) if ended and "running" not in state else now
    since = parse_rfc3339(ran["startedAt"])
    return "".join(f"{line}\n" for moment, line in said if since + moment <= end)
