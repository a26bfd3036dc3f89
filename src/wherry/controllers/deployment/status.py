"""What a Deployment's status says after a look at its ReplicaSets. Pure; `now` is Unix seconds.

    Available       enough pods are available, whatever their template
    Progressing     the rollout moves, has come to its end, stands still for too long, or is paused
    ReplicaFailure  some ReplicaSet cannot create or delete pods

Reasons and messages are Kubernetes' own: `kubectl rollout status` and `kubectl wait` read them.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.aio.clock import parse_rfc3339, rfc3339
from wherry.api.types import Obj
from wherry.controllers.deployment.plan import bounds, is_complete
from wherry.reconcile.pods import condition


def status(deployment: Obj, sets: Sequence[Obj], new: Obj | None, now: float, *, created: bool) -> Obj:
    """The status; `created`: the new ReplicaSet was created just now."""
    new_status: Obj = _counts(deployment, sets, new)
    conditions = list(deployment.get("status", {}).get("conditions") or ())
    limits = bounds(deployment)
    if new_status.get("availableReplicas", 0) >= limits.available_min:
        _set(conditions, "Available", "True", "MinimumReplicasAvailable", _HAS_MINIMUM, now)
    else:
        _set(conditions, "Available", "False", "MinimumReplicasUnavailable", _LACKS_MINIMUM, now)
    if _deadline(deployment) is None:
        _drop(conditions, "Progressing")
    else:
        _progress(deployment, new_status, conditions, new, now, created)
    if not deployment["spec"].get("paused"):
        _failure(conditions, sets, new, now)
    if conditions:
        new_status["conditions"] = conditions
    return new_status


def failed_to_create(deployment: Obj, name: str, error: str, now: float) -> Obj:
    """The status when the new ReplicaSet could not be created."""
    status = deployment.get("status", {})
    conditions = list(status.get("conditions") or ())
    if _deadline(deployment) is not None:
        message = f'Failed to create new replica set "{name}": {error}'
        _set(conditions, "Progressing", "False", "ReplicaSetCreateError", message, now)
    return {**status, "conditions": conditions} if conditions else status


def seconds_to_deadline(deployment: Obj, status: Obj, now: float) -> float | None:
    """In how many seconds the progress deadline must be checked again; None if it cannot pass."""
    deadline = _deadline(deployment)
    progressing = condition({"status": status}, "Progressing")
    if deadline is None or progressing is None or deployment["spec"].get("paused"):
        return None
    if progressing["reason"] in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded", "DeploymentPaused"):
        return None
    # One second more, because times on the wire are whole seconds.
    return max(parse_rfc3339(progressing["lastUpdateTime"]) + deadline - now, 0) + 1


_HAS_MINIMUM = "Deployment has minimum availability."
_LACKS_MINIMUM = "Deployment does not have minimum availability."


def _counts(deployment: Obj, sets: Sequence[Obj], new: Obj | None) -> Obj:
    def total(field: str) -> int:
        return sum(one.get("status", {}).get(field, 0) for one in sets)

    replicas, available = total("replicas"), total("availableReplicas")
    wanted = sum(one["spec"].get("replicas", 1) for one in sets)
    counts = {
        "replicas": replicas,
        "updatedReplicas": new.get("status", {}).get("replicas", 0) if new is not None else 0,
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": available,
        # Also those that could not be made; fewer are wanted than are there while they are scaled down.
        "unavailableReplicas": max(wanted - available, 0),
    }
    result: Obj = {"observedGeneration": deployment["metadata"].get("generation", 0)}
    result.update({key: value for key, value in counts.items() if value})
    result["terminatingReplicas"] = total("terminatingReplicas")
    collisions = deployment.get("status", {}).get("collisionCount")
    if collisions is not None:
        result["collisionCount"] = collisions
    return result


def _progress(deployment: Obj, status: Obj, conditions: list[Obj], new: Obj | None, now: float, created: bool) -> None:
    before = _find(conditions, "Progressing")
    if deployment["spec"].get("paused"):
        if before is None or before["reason"] != "DeploymentPaused":
            _set(conditions, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now)
        return
    name = new["metadata"]["name"] if new is not None else ""
    if created:
        _set(conditions, "Progressing", "True", "NewReplicaSetCreated", f'Created new replica set "{name}"', now)
    elif before is not None and before["reason"] == "DeploymentPaused":
        _set(conditions, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now)
    elif before is None and new is not None:
        _set(conditions, "Progressing", "True", "FoundNewReplicaSet", f'Found new replica set "{name}"', now)
    before = _find(conditions, "Progressing")
    if before is not None and before["reason"] == "NewReplicaSetAvailable" and _all_updated(status):
        return  # a finished rollout stays finished when pods come and go
    subject = f'ReplicaSet "{name}"' if name else f'Deployment "{deployment["metadata"]["name"]}"'
    if is_complete(deployment, status):
        text = f"{subject} has successfully progressed."
        _set(conditions, "Progressing", "True", "NewReplicaSetAvailable", text, now)
    elif _moved(deployment.get("status", {}), status):
        # Even with the same reason: lastUpdateTime restarts the deadline.
        _set(conditions, "Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", now, renew=True)
    elif _timed_out(deployment, before, now):
        text = f"{subject} has timed out progressing."
        _set(conditions, "Progressing", "False", "ProgressDeadlineExceeded", text, now)


def _all_updated(status: Obj) -> bool:
    return bool(status.get("replicas", 0) == status.get("updatedReplicas", 0))


def _moved(old: Obj, new: Obj) -> bool:
    """More new pods, fewer old ones, more ready or more available ones than last time."""

    def outdated(status: Obj) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    grown = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return outdated(new) < outdated(old) or any(new.get(key, 0) > old.get(key, 0) for key in grown)


def _timed_out(deployment: Obj, progressing: Obj | None, now: float) -> bool:
    deadline = _deadline(deployment)
    if deadline is None or progressing is None or progressing["reason"] == "NewReplicaSetAvailable":
        return False
    if progressing["reason"] == "ProgressDeadlineExceeded":
        return True
    return parse_rfc3339(progressing["lastUpdateTime"]) + deadline < now


def _deadline(deployment: Obj) -> int | None:
    """progressDeadlineSeconds; the largest 32-bit integer means none, as in Kubernetes."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or seconds >= 2**31 - 1 else int(seconds)


def _failure(conditions: list[Obj], sets: Sequence[Obj], new: Obj | None, now: float) -> None:
    first = [new] if new is not None else []
    failures = [found for one in [*first, *sets] if (found := condition(one, "ReplicaFailure")) is not None]
    if failures:
        found = failures[0]
        _set(conditions, "ReplicaFailure", found["status"], found["reason"], found.get("message", ""), now)
    else:
        _drop(conditions, "ReplicaFailure")


def _find(conditions: list[Obj], kind: str) -> Obj | None:
    return next((entry for entry in conditions if entry["type"] == kind), None)


def _drop(conditions: list[Obj], kind: str) -> None:
    conditions[:] = [entry for entry in conditions if entry["type"] != kind]


def _set(
    conditions: list[Obj], kind: str, value: str, reason: str, message: str, now: float, *, renew: bool = False
) -> None:
    """Replace the condition if status or reason changed (or `renew`); the transition time moves with the status."""
    before = _find(conditions, kind)
    if before is not None and before["status"] == value and before["reason"] == reason and not renew:
        return
    stamp = rfc3339(now)
    same = before is not None and before["status"] == value
    _drop(conditions, kind)
    conditions.append(
        {
            "type": kind,
            "status": value,
            "lastUpdateTime": stamp,
            "lastTransitionTime": before["lastTransitionTime"] if before is not None and same else stamp,
            "reason": reason,
            "message": message,
        }
    )
