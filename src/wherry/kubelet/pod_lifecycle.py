"""What has to be done for a pod now: observation in, decisions out.

Rule 1: every rule about what is started, stopped or waited for next lives here, in `plan` and the plain code below it.
Rule 2: this file does not act. It sees observations (`PodSeen`, `Health`, holds), it returns a `Plan`; the pod worker
        performs it, observes again and asks again, until a plan has no actions. So a plan may be cautious: what depends
        on the outcome of an action is left to the next plan.
Rule 3: time comes in as `now` (Unix seconds) and goes out as `wake_at`.

Theory of operation. A pod needs one ready sandbox; losing it means starting over with init containers. Init containers
run one after the other; a sidecar (an init container that restarts always) only has to be *started* for the next to
begin and is kept running until the ordinary containers are over. Ordinary containers start together once initialization
is done. What ends is started again as its policy says, after a back-off; what fails its liveness or startup probe, or no
longer matches its image, is killed first. When nothing runs and nothing will be started, the pod is finished.
Behaviour: Kubernetes' pod lifecycle, init containers and sidecar containers documentation.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from wherry.aio.clock import parse_rfc3339
from wherry.api.types import Obj
from wherry.cri.interface import ContainerState, ContainerStatus, SandboxState
from wherry.kubelet import pod_spec
from wherry.kubelet.backoff import Backoff, go_duration
from wherry.kubelet.observation import Health, Hold, PodSeen, is_exited, is_running

DEADLINE_REASON = "DeadlineExceeded"
DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"


class Kill(Struct, frozen=True):
    """Stop one container; `message` goes into the Killing event, `reason` is why (`liveness`, `startup`, ...)."""

    container_id: str
    name: str
    reason: str
    message: str


class Plan(Struct, frozen=True):
    """Decisions in the order they are performed: stale things away, kills, sandbox, starts."""

    new_sandbox: int | None = None
    """The attempt number of a sandbox to create."""
    stale_sandboxes: tuple[str, ...] = ()
    kills: tuple[Kill, ...] = ()
    starts: tuple[str, ...] = ()
    soon: tuple[str, ...] = ()
    """Containers that start once the sandbox is there: their images can be fetched meanwhile."""
    finished: bool = False
    """Nothing runs that must and nothing will be started again: take the pod down and keep its status."""
    wake_at: float | None = None
    """When time alone will change the plan."""

    @property
    def has_actions(self) -> bool:
        return self.new_sandbox is not None or bool(self.kills or self.starts or self.stale_sandboxes)


class Situation(Struct, frozen=True):
    """All a plan is made of."""

    pod: Obj
    seen: PodSeen
    health: Health
    holds: Mapping[str, Hold]
    """Containers whose start failed and which are left alone until `Hold.until`."""
    backoff: Backoff
    """Read only here; keys are `(uid, container)`."""
    now: float


def plan(at: Situation) -> Plan:
    """The next steps for a pod that is wanted (not deleted)."""
    sandbox = at.seen.sandbox
    if sandbox is None or sandbox.state is not SandboxState.READY:
        return _plan_new_sandbox(at)
    stale = tuple(each.id for each in at.seen.sandboxes[1:] if each.state is SandboxState.READY)
    begun = _has_begun(at)
    kills: list[Kill] = []
    starts: list[str] = []
    wakes: list[float] = []
    main = _plan_main(at, kills, wakes)
    if begun and not main.wanted:
        return Plan(stale_sandboxes=stale, finished=True)
    initialized, failed = _plan_init(at, begun, kills, starts, wakes)
    if failed:
        return Plan(stale_sandboxes=stale, finished=True)
    if initialized:
        starts += main.starts
        starts += _ephemeral_starts(at)
    return Plan(
        stale_sandboxes=stale,
        kills=tuple(kills),
        starts=tuple(starts),
        wake_at=min(wakes, default=None),
    )


def deadline(pod: Obj) -> float | None:
    """When activeDeadlineSeconds ends this pod, in Unix seconds; counted from status.startTime."""
    seconds = pod["spec"].get("activeDeadlineSeconds")
    start = (pod.get("status") or {}).get("startTime")
    return parse_rfc3339(start) + seconds if seconds is not None and start else None


def _plan_new_sandbox(at: Situation) -> Plan:
    """No sandbox, or it has died: everything starts over, except what may not run twice."""
    previous = at.seen.sandbox
    attempt = previous.config.attempt + 1 if previous is not None else 0
    stale = tuple(each.id for each in at.seen.sandboxes if each.state is SandboxState.READY)
    kills = tuple(
        Kill(each.id, each.config.name, "sandbox", "Pod sandbox changed, it will be killed and re-created.")
        for each in at.seen.alive()
    )
    begun = previous is not None or was_begun(at.pod)
    again = [each["name"] for each in pod_spec.containers(at.pod) if _starts_over(at, each, begun)]
    if not again:
        return Plan(stale_sandboxes=stale, kills=kills, finished=True)
    init = [each["name"] for each in pod_spec.init_containers(at.pod)]
    return Plan(new_sandbox=attempt, stale_sandboxes=stale, kills=kills, soon=tuple(init[:1] or again))


def _starts_over(at: Situation, container: Obj, begun: bool) -> bool:
    """Whether a new sandbox starts this ordinary container: not when it ended for good, or ran and must not run again."""
    if not begun:
        return True
    latest = at.seen.latest(container["name"])
    if latest is not None:
        if latest.state is ContainerState.CREATED:
            return True
        exit_code = latest.exit_code if is_exited(latest) else 137
        return pod_spec.restarts_after(at.pod, container, exit_code)
    recorded = pod_spec.container_status(at.pod, container["name"]) or {}
    state = recorded.get("state") or {}
    if "terminated" in state:
        return pod_spec.restarts_after(at.pod, container, state["terminated"].get("exitCode", 0))
    return "running" not in state or pod_spec.restarts_after(at.pod, container, 137)


def was_begun(pod: Obj) -> bool:
    """The API says that a container of this pod has run: its sandbox is lost, not new."""
    return any(
        not {"running", "terminated"}.isdisjoint(status.get("state") or {})
        for status in pod_spec.status_lists(pod.get("status") or {})
    )


def _has_begun(at: Situation) -> bool:
    """Ordinary containers have been created in this sandbox, so initialization was complete once."""
    return any(at.seen.current(each["name"]) is not None for each in pod_spec.containers(at.pod))


class _Main(Struct):
    wanted: bool
    """Some ordinary container runs or will run again."""
    starts: list[str]


def _plan_main(at: Situation, kills: list[Kill], wakes: list[float]) -> _Main:
    result = _Main(False, [])
    for container in pod_spec.containers(at.pod):
        current = at.seen.current(container["name"])
        if current is None or current.state is ContainerState.CREATED:
            result.wanted = True
            _start_unless_held(at, container, current, result.starts, wakes)
        elif is_exited(current):
            if pod_spec.restarts_after(at.pod, container, current.exit_code):
                result.wanted = True
                _start_unless_held(at, container, current, result.starts, wakes)
        else:
            kill = _why_kill(at, container, current)
            if kill is not None:
                kills.append(kill)
            result.wanted = True
    return result


def _plan_init(
    at: Situation, begun: bool, kills: list[Kill], starts: list[str], wakes: list[float]
) -> tuple[bool, bool]:
    """(initialization is complete, it has failed for good). Sidecars are kept running even afterwards."""
    for container in pod_spec.init_containers(at.pod):
        current = at.seen.current(container["name"])
        if pod_spec.is_sidecar(container):
            if is_running(current):
                assert current is not None
                kill = _why_kill(at, container, current)
                if kill is not None:
                    kills.append(kill)
                elif current.id in at.health.started:
                    continue
            else:
                _start_unless_held(at, container, current, starts, wakes)
            if not begun:
                return False, False
            continue
        if begun or (is_exited(current) and current is not None and current.exit_code == 0):
            continue
        if is_exited(current) and current is not None:
            if not pod_spec.restarts_after(at.pod, container, current.exit_code):
                return False, True
            _start_unless_held(at, container, current, starts, wakes)
        elif not is_running(current):
            _start_unless_held(at, container, current, starts, wakes)
        else:
            assert current is not None
            kill = _why_kill(at, container, current)
            if kill is not None:
                kills.append(kill)
        return False, False
    return True, False


def _ephemeral_starts(at: Situation) -> list[str]:
    """Ephemeral containers run once: they are started when they have never been created."""
    return [
        each["name"]
        for each in pod_spec.ephemeral_containers(at.pod)
        if at.seen.latest(each["name"]) is None
        and not (pod_spec.container_status(at.pod, each["name"]) or {}).get("containerID")
        and (at.holds.get(each["name"]) is None or at.holds[each["name"]].until <= at.now)
    ]


def _start_unless_held(
    at: Situation, container: Obj, current: ContainerStatus | None, starts: list[str], wakes: list[float]
) -> None:
    until = None
    hold = at.holds.get(container["name"])
    if hold is not None:
        until = hold.until
    crash = crash_hold(at, container, current)
    if crash is not None:
        until = max(crash.until, until or 0.0)
    if until is not None and until > at.now:
        wakes.append(until)
    else:
        starts.append(container["name"])


def crash_hold(at: Situation, container: Obj, current: ContainerStatus | None) -> Hold | None:
    """CrashLoopBackOff of a container that has ended: until when it is left alone, with kubelet's text."""
    if current is None or not is_exited(current):
        return None
    held = at.backoff.hold((pod_spec.uid_of(at.pod), container["name"]), current.finished_at or current.created_at)
    if held is None or held[0] <= at.now:
        return None
    until, delay = held
    text = (
        f"back-off {go_duration(delay)} restarting failed container={container['name']} "
        f"pod={pod_spec.full_name(at.pod)}"
    )
    return Hold("CrashLoopBackOff", text, until)


def crash_holds(at: Situation) -> dict[str, Hold]:
    """CrashLoopBackOff of every container of the pod that will be started again once its back-off is over."""
    found: dict[str, Hold] = {}
    begun = _has_begun(at)
    for container in (*pod_spec.init_containers(at.pod), *pod_spec.containers(at.pod)):
        current = at.seen.current(container["name"])
        if current is None or not is_exited(current):
            continue
        ordinary = container in pod_spec.containers(at.pod)
        if not ordinary and not pod_spec.is_sidecar(container) and (begun or current.exit_code == 0):
            continue
        if not pod_spec.restarts_after(at.pod, container, current.exit_code):
            continue
        hold = crash_hold(at, container, current)
        if hold is not None:
            found[container["name"]] = hold
    return found


def _why_kill(at: Situation, container: Obj, current: ContainerStatus) -> Kill | None:
    name = container["name"]
    again = pod_spec.restarts_after(at.pod, container, 137)
    suffix = ", will be restarted" if again else ""
    if current.state is ContainerState.UNKNOWN:
        return Kill(current.id, name, "unknown", f"Container {name} is in unknown state, try killing it before restart")
    if container.get("image") and current.config.image != container["image"]:
        return Kill(current.id, name, "definition", f"Container {name} definition changed, will be restarted")
    probe = at.health.failed.get(current.id)
    if probe is not None:
        return Kill(current.id, name, probe, f"Container {name} failed {probe} probe{suffix}")
    return None
