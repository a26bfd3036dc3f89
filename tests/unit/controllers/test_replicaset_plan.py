"""How many pods to make, and which to give up first."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.controllers.replicaset.plan import BURST, patience, plan, status
from wherry.reconcile.pods import to_delete_first

NOW = 1_700_000_000.0


def a_pod(
    name: str,
    *,
    node: str = "n",
    phase: str = "Running",
    ready_for: float | None = 1000,
    age: float = 2000,
    cost: str = "",
    restarts: int = 0,
    **labels: str,
) -> Obj:
    metadata: Obj = {"name": name, "uid": name, "creationTimestamp": rfc3339(NOW - age), "labels": labels}
    if cost:
        metadata["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": cost}
    conditions = []
    if ready_for is not None:
        conditions.append({"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(NOW - ready_for)})
    containers = [{"name": "main", "restartCount": restarts}]
    spec = {"nodeName": node} if node else {}
    return {
        "metadata": metadata,
        "spec": spec,
        "status": {"phase": phase, "conditions": conditions, "containerStatuses": containers},
    }


def a_set(replicas: int, **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "cart"}}, "spec": {}}
    return {
        "metadata": {"name": "cart", "uid": "u", "generation": 3},
        "spec": {"replicas": replicas, "template": template, **spec},
    }


def test_creates_what_is_missing_in_bounds() -> None:
    assert plan(a_set(3), [a_pod("a")], [], NOW).create == 2
    assert plan(a_set(5000), [], [], NOW).create == BURST
    assert plan(a_set(1), [a_pod("a")], [], NOW).create == 0


def test_deletes_nothing_of_a_set_that_goes() -> None:
    going = a_set(0)
    going["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    assert not plan(going, [a_pod("a")], [], NOW).delete


def test_who_goes_first() -> None:
    expected = [
        a_pod("unassigned", node=""),
        a_pod("pending", phase="Pending", ready_for=None),
        a_pod("unready", ready_for=None),
        a_pod("cheap", cost="-5"),
        a_pod("ready-lately", ready_for=10),
        a_pod("restarting", restarts=3),
        a_pod("young", age=1000),
        a_pod("old"),
        a_pod("dear", cost="7"),
    ]
    names = [pod["metadata"]["name"] for pod in to_delete_first(expected[::-1], expected, NOW)]
    assert names == [pod["metadata"]["name"] for pod in expected]


def test_the_fuller_node_gives_first() -> None:
    two = [a_pod("alone", node="a"), a_pod("crowded", node="b")]
    related = [*two, a_pod("x", node="b")]
    assert to_delete_first(two, related, NOW)[0]["metadata"]["name"] == "crowded"


def test_status_counts_and_says_when_it_will_change() -> None:
    pods = [a_pod("a", ready_for=100, app="cart"), a_pod("b", ready_for=4, app="cart"), a_pod("c", ready_for=None)]
    found, next_change = status(a_set(3, minReadySeconds=10), pods, 1, None, NOW)
    assert found == {
        "replicas": 3,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "terminatingReplicas": 1,
        "observedGeneration": 3,
    }
    assert next_change == 6


def test_a_failure_is_a_condition_as_long_as_it_lasts() -> None:
    one = a_set(1)
    one["status"], _ = status(one, [], 0, ("FailedCreate", 'pods "x" is forbidden'), NOW)
    assert one["status"]["conditions"][0]["reason"] == "FailedCreate"
    again, _ = status(one, [], 0, ("FailedCreate", "another text"), NOW + 60)
    assert again == one["status"]
    healed, _ = status(one, [a_pod("a")], 0, None, NOW + 60)
    assert "conditions" not in healed


@pytest.mark.parametrize(
    ("wanted", "there", "seconds"),
    [(3, 0, 0.0), (499, 499, 0.0), (1000, 0, 0.05), (0, 10_000, 0.5), (10**6, 0, 1.0)],
)
def test_changes_of_many_pods_are_gathered(wanted: int, there: int, seconds: float) -> None:
    assert patience({"spec": {"replicas": wanted}, "status": {"replicas": there}}) == seconds
