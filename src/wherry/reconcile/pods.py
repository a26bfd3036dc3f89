"""What every controller of pods knows about pods: building one from a template, telling live from dead, ready from
available, and which to give up first. Plain functions; time comes in as Unix seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from wherry.aio.clock import parse_rfc3339
from wherry.api.types import Obj

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def pod_from_template(template: Obj, *, owner_ref: Obj, namespace: str, generate_name: str = "", name: str = "") -> Obj:
    """The pod a controller asks for: labels, annotations, finalizers, spec of the template; controlled by the owner."""
    source = template.get("metadata") or {}
    metadata: Obj = {"namespace": namespace}
    if name:
        metadata["name"] = name
    else:
        metadata["generateName"] = generate_name
    for key in ("labels", "annotations", "finalizers"):
        if source.get(key):
            metadata[key] = source[key]
    metadata["ownerReferences"] = [owner_ref]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def phase(pod: Obj) -> str:
    return pod.get("status", {}).get("phase") or "Pending"


def is_finished(pod: Obj) -> bool:
    """Its containers have ended for good."""
    return phase(pod) in ("Succeeded", "Failed")


def is_terminating(pod: Obj) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def is_active(pod: Obj) -> bool:
    """Counts towards replicas: neither finished nor being deleted."""
    return not is_finished(pod) and not is_terminating(pod)


def condition(obj: Obj, kind: str) -> Obj | None:
    """The status condition of that type."""
    for entry in obj.get("status", {}).get("conditions") or ():
        if entry["type"] == kind:
            return entry  # type: ignore[no-any-return]
    return None


def is_ready(pod: Obj) -> bool:
    ready = condition(pod, "Ready")
    return ready is not None and ready["status"] == "True"


def seconds_until_available(pod: Obj, min_ready_seconds: int, now: float) -> float | None:
    """0 if the pod has been ready for `min_ready_seconds`, the seconds still missing, or None if it is not ready."""
    ready = condition(pod, "Ready")
    if ready is None or ready["status"] != "True":
        return None
    since = ready.get("lastTransitionTime")
    if min_ready_seconds <= 0:
        return 0.0
    if not since:
        return float(min_ready_seconds)
    return max(0.0, parse_rfc3339(since) + min_ready_seconds - now)


def is_available(pod: Obj, min_ready_seconds: int, now: float) -> bool:
    return seconds_until_available(pod, min_ready_seconds, now) == 0.0


def created_at(obj: Obj) -> float:
    """Unix seconds of the object's creation."""
    text = obj["metadata"].get("creationTimestamp")
    return parse_rfc3339(text) if text else 0.0


def deletion_cost(pod: Obj) -> int:
    """The pod-deletion-cost annotation; what is no 32-bit integer counts as 0, as in Kubernetes."""
    text = (pod["metadata"].get("annotations") or {}).get(DELETION_COST, "0")
    try:
        cost = int(text)
    except ValueError:
        return 0
    return cost if -(2**31) <= cost < 2**31 else 0


def restarts(pod: Obj) -> int:
    """The highest restart count of its containers."""
    statuses: Iterable[Obj] = pod.get("status", {}).get("containerStatuses") or ()
    return max((status.get("restartCount", 0) for status in statuses), default=0)


def to_delete_first(pods: Sequence[Obj], related: Sequence[Obj], now: float) -> list[Obj]:
    """`pods` in the order in which a ReplicaSet gives them up (kube-controller-manager's ActivePodsWithRanks).

    Unassigned before assigned, Pending before Unknown before Running, not ready before ready, lower deletion cost
    first, nodes with more pods of `related` first, then ready for a shorter time, more restarts, younger. Ages compare
    by powers of two, so that one second's difference does not always hit the newest.
    """
    per_node = Counter(pod["spec"].get("nodeName", "") for pod in related if is_active(pod))

    def rank(pod: Obj) -> tuple[Any, ...]:
        ready = condition(pod, "Ready")
        is_up = ready is not None and ready["status"] == "True"
        since = ready.get("lastTransitionTime") if is_up and ready is not None else None
        ready_since = parse_rfc3339(since) if since else now
        return (
            bool(pod["spec"].get("nodeName")),
            {"Pending": 0, "Unknown": 1, "Running": 2}.get(phase(pod), 3),
            is_up,
            deletion_cost(pod),
            -per_node[pod["spec"].get("nodeName", "")],
            _age_class(now - ready_since) if is_up else 0,
            -restarts(pod),
            _age_class(now - created_at(pod)),
            pod["metadata"]["uid"],
        )

    return sorted(pods, key=rank)


def _age_class(seconds: float) -> int:
    """The logarithm of an age in nanoseconds, as Kubernetes buckets it."""
    return int(max(seconds, 0.0) * 1e9).bit_length()
