"""What the simulation has found stays found: each scenario here broke a promise once. Small, and as the shrinker left it."""

from __future__ import annotations

from dataclasses import replace

from wherry.testing.simulation.scenario import Fault, Operation, Scenario
from wherry.testing.simulation.simulation import run

ORPHAN = 3
"""A seed whose `delete` leaves the dependants."""


def broken(*parts: Operation | Fault, nodes: int = 1, alone: tuple[str, ...] = ()) -> list[str]:
    """What goes wrong in a scenario of these parts."""
    operations = tuple(part for part in parts if isinstance(part, Operation))
    faults = tuple(part for part in parts if isinstance(part, Fault))
    return [str(each) for each in run(Scenario(1, operations, faults, alone, nodes)).violations]


def do(at: float, verb: str, kind: str, number: int = 1, *, seed: int = 0, name: str = "a") -> Operation:
    namespace = "" if kind in ("Node", "Namespace") else "default"
    return Operation(at, verb, kind, namespace, name, number, seed)


def test_pods_of_a_node_that_was_given_up_are_ready_when_it_speaks_again() -> None:
    """Nobody told their true status a second time: it had been told before, and overwritten by the node lifecycle."""
    assert broken(do(1, "create", "Deployment", 2), do(8, "silence", "Node", 5)) == []


def test_a_node_that_is_refused_at_first_comes_later() -> None:
    assert broken(do(1, "create", "Deployment", 1), Fault(0, 20, "errors", "nodes", 0.95, 1)) == []


def test_a_node_agent_outlives_an_api_server_that_is_away() -> None:
    assert broken(do(1, "create", "Deployment", 1), Fault(5, 50, "blackout", "server", 0, 1)) == []


def test_a_daemon_set_takes_over_the_revision_another_workload_left_behind() -> None:
    """Its label is missing, which pods are told apart by."""
    left = (do(1, "create", "StatefulSet", 1), do(5, "delete", "StatefulSet", seed=ORPHAN))
    assert broken(*left, do(10, "create", "DaemonSet")) == []


def test_a_quota_counts_writes_whose_callers_have_gone() -> None:
    """They are on their way to the disk, and counted neither as under way nor as stored."""
    shop = (do(0, "create", "Namespace", name="shop"), replace(do(1, "create", "ResourceQuota", 3), namespace="shop"))
    many = (
        replace(do(3 + number * 0.0001, "adopt", "ConfigMap", 0, seed=number * 3), namespace="shop")
        for number in range(40)
    )
    assert broken(*shop, *many, Fault(2, 5, "hasty", "users", 0.7, 1)) == []


def test_a_stateful_set_made_again_waits_for_the_names_of_the_pods_before() -> None:
    """They were taken once when it looked, and nobody told it that they are free."""
    again = (
        do(2, "create", "StatefulSet", 3),
        do(10, "delete", "StatefulSet", 1),
        do(10.2, "create", "StatefulSet", 3),
    )
    assert broken(*again) == []


def test_a_rollout_does_not_count_pods_that_are_going_already() -> None:
    """A ReplicaSet was scaled down, and by its old status it had so many pods that the rest could go at once."""
    left = (do(1, "create", "Deployment", 5), do(17, "delete", "Deployment", seed=ORPHAN))
    broad = Fault(19.5, 2.4, "lag", "", 0.05, 1)
    assert broken(*left, broad, do(20.6, "create", "Deployment", 3, seed=2), nodes=4) == []


def test_a_deployment_whose_replica_set_is_somebody_elses_by_now_is_no_bug_of_ours() -> None:
    """It was deleted and left its ReplicaSet; a controller that had not heard of it called that a failure of its own."""
    left = (do(1, "create", "Deployment", 2), do(12, "delete", "Deployment", seed=ORPHAN))
    apart = ("garbage-collector", "deployment-controller")
    lags = [Fault(11, 9, "lag", "deployment-controller", 10, seed) for seed in range(4)]
    assert [broken(*left, lag, do(17, "create", "Deployment", 5), alone=apart) for lag in lags] == [[], [], [], []]


def test_a_daemon_set_looks_again_when_it_has_compared_with_an_old_status() -> None:
    """Of two statuses the second was what it had last seen: not written, and the first stayed."""
    made, late = do(1, "create", "DaemonSet", seed=629611054), "controller-manager"
    lags = [(do(10, "evict", "Pod", seed=seed), Fault(9, 15, "lag", late, 10.0, seed)) for seed in (1, 6, 7)]
    assert [broken(made, *lag, nodes=4) for lag in lags] == [[], [], []]


def test_a_daemon_set_beside_a_stateful_set_of_its_name_and_template_has_a_revision_of_its_own() -> None:
    """The name was taken, by a revision without the label that a DaemonSet tells its pods apart by."""
    assert broken(do(1, "create", "StatefulSet", 2, seed=3), do(2, "create", "DaemonSet", seed=3)) == []
