"""Whether an object is what its manifest asks for: the rules of `kubectl rollout status` and `kubectl wait`.

Pure: an object goes in, a verdict comes out. Kinds without a rule are ready once stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from wherry.api.types import Obj


class State(Enum):
    READY = "ready"
    PROGRESSING = "progressing"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`text` is short: `2/3 ready`, `exceeded its progress deadline`."""

    state: State
    text: str = ""


READY = Verdict(State.READY)


def verdict(obj: Obj) -> Verdict:
    """How far `obj` is."""
    rule = RULES.get(obj.get("kind", ""))
    if rule is None:
        return READY
    observed = obj.get("status", {}).get("observedGeneration")
    if observed is not None and observed < obj["metadata"].get("generation", 0):
        return Verdict(State.PROGRESSING, "waiting for its controller")
    return rule(obj)


def _condition(obj: Obj, type_: str) -> Obj:
    found = (item for item in obj.get("status", {}).get("conditions") or [] if item["type"] == type_)
    return next(found, {})


def _deployment(obj: Obj) -> Verdict:
    status = obj.get("status", {})
    wanted = obj["spec"].get("replicas", 1)
    updated, ready = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    text = f"{ready}/{wanted} ready"
    if _condition(obj, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        return Verdict(State.FAILED, f"{text}, exceeded its progress deadline")
    if "observedGeneration" not in status or updated < wanted:
        return Verdict(State.PROGRESSING, f"{updated}/{wanted} updated")
    if status.get("replicas", 0) > updated:
        return Verdict(State.PROGRESSING, f"{status['replicas'] - updated} old replicas end")
    return Verdict(State.READY if ready >= updated else State.PROGRESSING, text)


def _stateful_set(obj: Obj) -> Verdict:
    status = obj.get("status", {})
    wanted = obj["spec"].get("replicas", 1)
    ready = status.get("readyReplicas", 0)
    current = status.get("currentRevision") == status.get("updateRevision") and "observedGeneration" in status
    return Verdict(State.READY if ready >= wanted and current else State.PROGRESSING, f"{ready}/{wanted} ready")


def _daemon_set(obj: Obj) -> Verdict:
    status = obj.get("status", {})
    wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    updated = status.get("updatedNumberScheduled", 0)
    done = "observedGeneration" in status and updated >= wanted and ready >= wanted
    return Verdict(State.READY if done else State.PROGRESSING, f"{ready}/{wanted} ready")


def _job(obj: Obj) -> Verdict:
    if _condition(obj, "Complete").get("status") == "True":
        return Verdict(State.READY, "complete")
    failed = _condition(obj, "Failed")
    if failed.get("status") == "True":
        return Verdict(State.FAILED, f"{failed.get('reason', 'Failed')}: {failed.get('message', '')}")
    if obj["spec"].get("suspend"):
        return Verdict(State.READY, "suspended")
    done = obj.get("status", {}).get("succeeded", 0)
    return Verdict(State.PROGRESSING, f"{done}/{obj['spec'].get('completions') or 1} complete")


def _pod(obj: Obj) -> Verdict:
    phase = obj.get("status", {}).get("phase", "Pending")
    if phase == "Failed":
        return Verdict(State.FAILED, obj["status"].get("message") or obj["status"].get("reason") or "failed")
    ready = phase == "Succeeded" or _condition(obj, "Ready").get("status") == "True"
    return Verdict(State.READY if ready else State.PROGRESSING, phase)


def _claim(obj: Obj) -> Verdict:
    phase = obj.get("status", {}).get("phase", "Pending")
    return Verdict({"Bound": State.READY, "Lost": State.FAILED}.get(phase, State.PROGRESSING), phase)


RULES: dict[str, Callable[[Obj], Verdict]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "Job": _job,
    "Pod": _pod,
    "PersistentVolumeClaim": _claim,
}
