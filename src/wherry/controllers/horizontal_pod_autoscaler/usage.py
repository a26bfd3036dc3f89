"""How many replicas one metric asks for. Pure; amounts are whole numbers (cpu in thousandths of a core).

Source: the documented algorithm. Pods that are not ready or have no metrics are first left out; then, if leaving them out
would change the size, they are put in again on the careful side: as using nothing when growing, as using what was asked
for when shrinking. If that turns the direction round, nothing is done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct, field

from wherry.aio.clock import parse_rfc3339
from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.reconcile.pods import condition, is_terminating, phase

CPU_INITIALIZATION_SECONDS = 300.0
INITIAL_READINESS_SECONDS = 30.0
"""kube-controller-manager's --horizontal-pod-autoscaler-{cpu-initialization-period,initial-readiness-delay}."""
TIMES_STEP_SECONDS = 1.0
"""Of a condition's times. kube-controller-manager leaves that out: beside metrics-server's windows of 15 s it does not matter."""


class NoReplicaCount(Exception):
    """The metric says nothing; the message says why, in Kubernetes' words."""


class Sample(Struct, frozen=True):
    """What a pod used, over a window of `window` seconds that ended at `at` (Unix seconds)."""

    value: int
    at: float
    window: float


class Tolerance(Struct, frozen=True):
    """How far from the target is still on target, as a share: growing and shrinking."""

    up: float = 0.1
    down: float = 0.1

    def covers(self, ratio: float) -> bool:
        return 1 - self.down <= ratio <= 1 + self.up


class Count(Struct, frozen=True):
    """`replicas` wanted; what the pods use on average, and for utilization in percent of what they asked for."""

    replicas: int
    average: int
    utilization: int | None = None


class Groups(Struct):
    ready: int = 0
    unready: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)


def amount(resource: str, text: str) -> int:
    quantity = Quantity.parse(text)
    return quantity.milli_value() if resource == "cpu" else quantity.value()


def samples(items: Iterable[Obj], resource: str, container: str = "") -> dict[str, Sample]:
    """PodMetrics by pod name; a pod of which one container says nothing about the resource is left out."""
    found: dict[str, Sample] = {}
    for item in items:
        chosen = [one for one in item.get("containers") or () if not container or one["name"] == container]
        values = [one.get("usage", {}).get(resource) for one in chosen]
        if chosen and all(value is not None for value in values):
            total = sum(amount(resource, value) for value in values)
            at = parse_rfc3339(item["timestamp"]) if item.get("timestamp") else 0.0
            found[item["metadata"]["name"]] = Sample(total, at, _seconds(item.get("window", "0s")))
    return found


def utilization_replicas(
    pods: Sequence[Obj],
    metrics: Mapping[str, Sample],
    resource: str,
    target_percent: int,
    current: int,
    tolerance: Tolerance,
    now: float,
    container: str = "",
) -> Count:
    """For a target in percent of the pods' requests. Raises NoReplicaCount."""
    groups = group(pods, metrics, resource, now)
    used = _counting(metrics, groups)
    requests = {pod["metadata"]["name"]: _request(pod, resource, container) for pod in pods if _counts(pod)}

    def ratio_of(values: Mapping[str, int]) -> tuple[float, int]:
        asked = sum(requests.get(name, 0) for name in values)
        if asked == 0:
            raise NoReplicaCount("no metrics returned matched known pods")
        percent = sum(values.values()) * 100 // asked
        return percent / target_percent, percent

    ratio, percent = ratio_of(used)
    # A missing pod counts as using all it asked for, or the target if that is higher.
    fallback = {name: requests.get(name, 0) * max(100, target_percent) // 100 for name in groups.missing}
    replicas = _replicas(used, groups, ratio, lambda values: ratio_of(values)[0], fallback, current, tolerance)
    return Count(replicas, sum(used.values()) // len(used), percent)


def average_replicas(
    pods: Sequence[Obj],
    metrics: Mapping[str, Sample],
    resource: str,
    target: int,
    current: int,
    tolerance: Tolerance,
    now: float,
) -> Count:
    """For a target in amount per pod. Raises NoReplicaCount."""
    groups = group(pods, metrics, resource, now)
    used = _counting(metrics, groups)

    def ratio_of(values: Mapping[str, int]) -> float:
        return sum(values.values()) / len(values) / target

    fallback = dict.fromkeys(groups.missing, target)
    replicas = _replicas(used, groups, ratio_of(used), ratio_of, fallback, current, tolerance)
    return Count(replicas, sum(used.values()) // len(used))


def group(pods: Iterable[Obj], metrics: Mapping[str, Sample], resource: str, now: float) -> Groups:
    """Sort pods by how far their numbers can be believed."""
    groups = Groups()
    for pod in pods:
        name = pod["metadata"]["name"]
        if is_terminating(pod) or phase(pod) == "Failed":
            groups.ignored.add(name)
        elif phase(pod) == "Pending":
            groups.unready.add(name)
        elif name not in metrics:
            groups.missing.add(name)
        elif resource == "cpu" and _is_warming_up(pod, metrics[name], now):
            groups.unready.add(name)
        else:
            groups.ready += 1
    return groups


def _is_warming_up(pod: Obj, sample: Sample, now: float) -> bool:
    """Starting costs CPU that says nothing about load. So does starting again, as all do when the system is started:
    kube-controller-manager counts that, with windows of 15 s."""
    ready, started = condition(pod, "Ready"), pod.get("status", {}).get("startTime")
    if ready is None or not started:
        return True
    again = _last_start(pod)
    changed = max(parse_rfc3339(ready["lastTransitionTime"]) if ready.get("lastTransitionTime") else 0.0, again)
    start = max(parse_rfc3339(started), again)
    if start + CPU_INITIALIZATION_SECONDS > now:
        # Within the first minutes only windows that lie wholly after readiness count, which is told in whole seconds.
        return bool(ready["status"] == "False") or sample.at < changed + TIMES_STEP_SECONDS + sample.window
    return bool(ready["status"] == "False") and start + INITIAL_READINESS_SECONDS > changed


def _last_start(pod: Obj) -> float:
    """Of its containers that run."""
    running = ((each.get("state") or {}).get("running") or {} for each in pod["status"].get("containerStatuses") or ())
    return max((parse_rfc3339(each["startedAt"]) for each in running if each.get("startedAt")), default=0.0)


def _counting(metrics: Mapping[str, Sample], groups: Groups) -> dict[str, int]:
    excluded = groups.unready | groups.ignored
    used = {name: sample.value for name, sample in metrics.items() if name not in excluded}
    if not used:
        raise NoReplicaCount("did not receive metrics for targeted pods (pods might be unready)")
    return used


def _replicas(
    used: Mapping[str, int],
    groups: Groups,
    ratio: float,
    ratio_of: Callable[[Mapping[str, int]], float],
    fallback: Mapping[str, int],
    current: int,
    tolerance: Tolerance,
) -> int:
    grows_with_unready = bool(groups.unready) and ratio > 1
    if not grows_with_unready and not groups.missing:
        return current if tolerance.covers(ratio) else math.ceil(ratio * groups.ready)
    values = dict(used)
    if ratio < 1:
        values.update(fallback)
    elif ratio > 1:
        values.update(dict.fromkeys(groups.missing, 0))
    if grows_with_unready:
        values.update(dict.fromkeys(groups.unready, 0))
    careful = ratio_of(values)
    if tolerance.covers(careful) or (ratio < 1 < careful) or (careful < 1 < ratio):
        return current
    replicas = math.ceil(careful * len(values))
    if (careful < 1 and replicas > current) or (careful > 1 and replicas < current):
        return current
    return replicas


def _counts(pod: Obj) -> bool:
    return not is_terminating(pod) and phase(pod) != "Failed"


def _request(pod: Obj, resource: str, container: str) -> int:
    """What the pod's running containers asked for together."""
    spec, total = pod["spec"], 0
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    for one in [*spec["containers"], *sidecars]:
        if container and one["name"] != container:
            continue
        text = ((one.get("resources") or {}).get("requests") or {}).get(resource)
        if text is None:
            raise NoReplicaCount(
                f"missing request for {resource} in container {one['name']} of Pod {pod['metadata']['name']}"
            )
        total += amount(resource, str(text))
    return total


def _seconds(duration: str) -> float:
    """A Go duration as metrics write it: `1s`, `15.2s`, `1m0s`."""
    total, number = 0.0, ""
    for part in duration.replace("ms", "u"):
        if part in "hmsu":
            total += float(number or 0) * {"h": 3600, "m": 60, "s": 1, "u": 0.001}[part]
            number = ""
        else:
            number += part
    return total
