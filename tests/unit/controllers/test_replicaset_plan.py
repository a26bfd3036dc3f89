"""How many pods to make, and which to give up first."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.controllers.replicaset.plan import BURST, Plan, patience, plan, status, victims
from wherry.controllers.replicaset.tally import Counts, Facts, Tally
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
    assert plan(a_set(3), 1) == Plan(create=2)
    assert plan(a_set(5000), 0) == Plan(create=BURST)
    assert plan(a_set(1), 1) == Plan()
    assert plan(a_set(0), 5000) == Plan(delete=BURST)


def test_deletes_nothing_of_a_set_that_goes() -> None:
    going = a_set(0)
    going["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    assert plan(going, 1) == Plan()


def test_victims_are_chosen_where_some_stay() -> None:
    pods = [a_pod("old"), a_pod("young", age=1000), a_pod("unready", ready_for=None)]
    chosen = victims(a_set(1), pods, pods, 2, NOW)
    assert [pod["metadata"]["name"] for pod in chosen] == ["unready", "young"]
    assert victims(a_set(0), pods, [], 2, NOW) == pods[:2]


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


def a_tally(pods: list[Obj], replicaset: Obj) -> Tally:
    tally = Tally(Facts.of(replicaset))
    for pod in pods:
        tally.put(pod)
    return tally


def test_what_pods_count_as_and_when_that_changes() -> None:
    pods = [a_pod("a", ready_for=100, app="cart", v="1"), a_pod("b", ready_for=4, app="cart")]
    pods += [a_pod("c", ready_for=None, app="cart"), a_pod("d", phase="Succeeded", app="cart"), a_pod("e", app="else")]
    going = a_pod("f", app="cart")
    going["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    one = a_set(3, minReadySeconds=10, selector={"matchLabels": {"app": "cart"}})
    one["spec"]["template"]["metadata"]["labels"]["v"] = "1"
    tally = a_tally([*pods, going], one)
    assert tally.counts(NOW) == Counts(active=3, terminating=1, labelled=1, ready=2, available=1, next_change=6.0)
    assert tally.strays == {"e"}
    assert tally.counts(NOW + 6) == Counts(active=3, terminating=1, labelled=1, ready=2, available=2)
    for pod in (*pods, going):
        tally.remove(pod["metadata"]["uid"])
    assert tally.counts(NOW) == Counts()
    assert not tally.strays


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.floats(0, 20))), st.sampled_from([0, 10]))
def test_a_tally_kept_pod_by_pod_is_the_count_of_all(changes: list[tuple[int, int, float]], min_ready: int) -> None:
    """Whatever happened on the way: only how the pods are now counts."""
    one = a_set(3, minReadySeconds=min_ready, selector={"matchLabels": {"app": "cart"}})
    there: dict[str, Obj] = {}
    tally = Tally(Facts.of(one))
    for number, (who, what, ready_for) in enumerate(changes):
        name, now = str(who), NOW + number
        kinds = [
            a_pod(name, app="cart", ready_for=None, phase="Pending"),
            a_pod(name, app="cart", ready_for=ready_for - number),
            a_pod(name, app="cart", phase="Failed"),
            a_pod(name, app="other"),
            a_pod(name, app="cart"),
        ]
        kinds[4]["metadata"]["deletionTimestamp"] = rfc3339(NOW)
        if what == 5:
            tally.remove(name)
            there.pop(name, None)
        else:
            tally.put(kinds[what])
            there[name] = kinds[what]
        assert tally.counts(now) == a_tally(list(there.values()), one).counts(now)


def test_status_leaves_out_what_is_zero_but_for_what_terminates() -> None:
    found = status(a_set(3), Counts(active=3, labelled=2, ready=2, available=1), None, NOW)
    assert found == {
        "replicas": 3,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "terminatingReplicas": 0,
        "observedGeneration": 3,
    }
    assert status(a_set(0), Counts(terminating=1), None, NOW) == {
        "replicas": 0,
        "terminatingReplicas": 1,
        "observedGeneration": 3,
    }


def test_a_failure_is_a_condition_as_long_as_it_lasts() -> None:
    one = a_set(1)
    one["status"] = status(one, Counts(), ("FailedCreate", 'pods "x" is forbidden'), NOW)
    assert one["status"]["conditions"][0]["reason"] == "FailedCreate"
    again = status(one, Counts(), ("FailedCreate", "another text"), NOW + 60)
    assert again == one["status"]
    healed = status(one, Counts(active=1), None, NOW + 60)
    assert "conditions" not in healed


@pytest.mark.parametrize(("wanted", "there", "seconds"), [(3, 0, 0.0), (499, 499, 0.0), (500, 0, 0.1), (0, 500, 0.1)])
def test_changes_of_many_pods_are_gathered(wanted: int, there: int, seconds: float) -> None:
    assert patience({"spec": {"replicas": wanted}, "status": {"replicas": there}}) == seconds
