"""The autoscaler's arithmetic against worked examples, and its windows over time."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.controllers.horizontal_pod_autoscaler.behavior import History, decide
from wherry.controllers.horizontal_pod_autoscaler.usage import (
    NoReplicaCount,
    Sample,
    Tolerance,
    average_replicas,
    samples,
    utilization_replicas,
)

NOW = 1_700_000_000.0


def a_pod(name: str, request: str = "1000m", phase: str = "Running", ready: bool = True) -> Obj:
    status = {
        "phase": phase,
        "startTime": rfc3339(NOW - 1000),
        "conditions": [
            {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": rfc3339(NOW - 990)}
        ],
    }
    container = {"name": "main", "resources": {"requests": {"cpu": request}}}
    return {"metadata": {"name": name}, "spec": {"containers": [container]}, "status": status}


def count(used: list[int | None], target: int, current: int | None = None, pods: list[Obj] | None = None) -> int:
    chosen = pods or [a_pod(str(number)) for number in range(len(used))]
    metrics = {str(number): Sample(value, NOW, 1) for number, value in enumerate(used) if value is not None}
    wanted = utilization_replicas(
        chosen, metrics, "cpu", target, len(used) if current is None else current, Tolerance(), NOW
    )
    return wanted.replicas


def test_plain_ratios() -> None:
    assert count([300, 500, 700], 30) == 5  # 50 % used of a target of 30 %
    assert count([300, 500, 700], 100) == 2
    assert count([480, 500, 520], 50) == 3
    assert count([540, 540, 540], 50) == 3  # within a tenth
    assert count([560, 560, 560], 50) == 4


def test_missing_pods_count_on_the_careful_side() -> None:
    assert count([1000, None, 1000], 50) == 4  # a missing pod uses nothing when growing: 67 % of 50 %
    assert count([100, None, 100], 50) == 3  # and all it asked for when shrinking: 40 % of 50 %, three pods: 2.4
    assert count([None, 400], 50) == 2  # 40 % alone would shrink, with the missing one it would grow: stay


def test_unready_pods_use_nothing_when_growing() -> None:
    pods = [a_pod("0"), a_pod("1", phase="Pending"), a_pod("2")]
    assert count([1000, 0, 1000], 50, pods=pods) == 4


def test_pods_that_go_or_failed_do_not_count() -> None:
    pods = [a_pod("0"), a_pod("1", phase="Failed"), a_pod("2")]
    pods[2]["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    assert count([500, 9000, 9000], 50, current=1, pods=pods) == 1


def test_nothing_to_go_by() -> None:
    with pytest.raises(NoReplicaCount, match="did not receive metrics for targeted pods"):
        count([None, None], 50)
    bare = a_pod("0")
    bare["spec"]["containers"][0]["resources"] = {}
    with pytest.raises(NoReplicaCount, match="missing request for cpu in container main of Pod 0"):
        count([100], 50, pods=[bare])


def test_averages() -> None:
    pods = [a_pod("0"), a_pod("1")]
    metrics = {"0": Sample(300, NOW, 1), "1": Sample(500, NOW, 1)}
    found = average_replicas(pods, metrics, "memory", 200, 2, Tolerance(), NOW)
    assert (found.replicas, found.average) == (4, 400)


def test_a_pod_that_starts_burns_cpu_that_does_not_count() -> None:
    young = a_pod("0")
    young["status"]["startTime"] = rfc3339(NOW - 60)
    young["status"]["conditions"][0]["lastTransitionTime"] = rfc3339(NOW - 5)
    with pytest.raises(NoReplicaCount):
        utilization_replicas([young], {"0": Sample(900, NOW, 15)}, "cpu", 50, 1, Tolerance(), NOW)
    with pytest.raises(NoReplicaCount):
        # Ready since some time within that second: part of the window may lie before.
        utilization_replicas([young], {"0": Sample(900, NOW, 4.5)}, "cpu", 50, 1, Tolerance(), NOW)
    found = utilization_replicas([young], {"0": Sample(900, NOW, 4)}, "cpu", 50, 1, Tolerance(), NOW)
    assert found.replicas == 2


def test_a_pod_that_starts_again_too() -> None:
    """Its node was away for a while: what is known of the pod is older than its container."""
    old = a_pod("0")
    old["status"]["containerStatuses"] = [{"name": "main", "state": {"running": {"startedAt": rfc3339(NOW - 5)}}}]
    with pytest.raises(NoReplicaCount):
        utilization_replicas([old], {"0": Sample(900, NOW, 4.5)}, "cpu", 50, 1, Tolerance(), NOW)
    found = utilization_replicas([old], {"0": Sample(900, NOW, 4)}, "cpu", 50, 1, Tolerance(), NOW)
    assert found.replicas == 2
    old["status"]["containerStatuses"] = [{"name": "main", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    assert utilization_replicas([old], {"0": Sample(900, NOW, 15)}, "cpu", 50, 1, Tolerance(), NOW).replicas == 2


def test_metrics_of_pods() -> None:
    item = {
        "metadata": {"name": "p"},
        "timestamp": rfc3339(NOW),
        "window": "1m1.5s",
        "containers": [{"name": "a", "usage": {"cpu": "100m"}}, {"name": "b", "usage": {"cpu": "25000u"}}],
    }
    assert samples([item], "cpu") == {"p": Sample(125, NOW, 61.5)}
    assert samples([item], "cpu", "a")["p"].value == 100
    assert samples([item], "memory") == {}


def an_autoscaler(lowest: int = 1, highest: int = 100, **behavior: Any) -> Obj:
    return {"spec": {"minReplicas": lowest, "maxReplicas": highest, "behavior": behavior}}


def play(hpa: Obj, current: int, wishes: list[tuple[float, int]]) -> list[int]:
    history = History([(NOW, current)])
    sizes = []
    for at, wanted in wishes:
        after = decide(hpa, current, wanted, history, NOW + at, 300).replicas
        if after != current:
            history.changes.append((NOW + at, after - current))
        current = after
        sizes.append(current)
    return sizes


def test_growth_doubles_or_adds_four_per_fifteen_seconds() -> None:
    assert play(an_autoscaler(), 1, [(1, 90), (5, 90), (17, 90), (33, 90)]) == [5, 5, 10, 20]


def test_shrinking_waits_for_the_highest_of_five_minutes() -> None:
    wishes = [(0, 10), (60, 4), (120, 7), (299, 2), (301, 2), (361, 2), (421, 2), (600, 2)]
    assert play(an_autoscaler(), 10, wishes) == [10, 10, 10, 10, 7, 7, 2, 2]


def test_policies() -> None:
    slow = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]}
    assert play(an_autoscaler(scaleDown=slow), 80, [(0, 10), (30, 10), (61, 10)]) == [72, 72, 64]
    assert play(an_autoscaler(scaleDown={"selectPolicy": "Disabled"}), 8, [(400, 1)]) == [8]
    both = {
        "selectPolicy": "Min",
        "policies": [
            {"type": "Pods", "value": 1, "periodSeconds": 15},
            {"type": "Percent", "value": 900, "periodSeconds": 15},
        ],
    }
    assert play(an_autoscaler(scaleUp=both), 5, [(0, 50)]) == [6]


def test_bounds_are_named() -> None:
    decision = decide(an_autoscaler(highest=4), 3, 9, History(), NOW, 300)
    assert (decision.replicas, decision.limited[1]) == (4, "TooManyReplicas")
    zero = {"stabilizationWindowSeconds": 0}
    decision = decide(an_autoscaler(lowest=2, scaleDown=zero), 3, 0, History(), NOW, 300)
    assert (decision.replicas, decision.limited[1]) == (2, "TooFewReplicas")
