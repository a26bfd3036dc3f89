"""Who has to go: never more than needed, never anybody as important, budgets only when there is no other way."""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wherry.api.labels import Selector
from wherry.api.types import Obj
from wherry.scheduler import preemption
from wherry.scheduler.decision import Fit, Unfit, decide
from wherry.scheduler.plugins import node_basics, node_resources, pod_topology_spread
from wherry.scheduler.plugins.inter_pod_affinity import inter_pod_affinity
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.preemption import Budget, Preemption, split_by_budgets
from wherry.scheduler.snapshot import Snapshot

AFFINITY = inter_pod_affinity(namespaces=type("None", (), {"get": lambda *_: None})())
FILTERS = [node_basics.NODE_PORTS, node_resources.FILTER, pod_topology_spread.FILTER, AFFINITY[0]]


def a_node(name: str, cpu: int = 8, zone: str = "a") -> Obj:
    labels = {"zone": zone, "host": name}
    amounts = {"cpu": str(cpu), "pods": "20"}
    return {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": {"allocatable": amounts}}


def a_pod(name: str, priority: int, cpu: int = 1, node: str = "", app: str = "", age: int = 0, **spec: Any) -> Obj:
    created = f"2026-01-01T00:00:{age:02}Z"
    return {
        "metadata": {
            "name": name,
            "namespace": "d",
            "uid": name,
            "labels": {"app": app},
            "creationTimestamp": created,
        },
        "spec": {
            "containers": [{"resources": {"requests": {"cpu": str(cpu)}}}],
            "priority": priority,
            **({"nodeName": node} if node else {}),
            **spec,
        },
        "status": {},
    }


def snapshot_of(nodes: list[Obj], pods: list[Obj]) -> Snapshot:
    snapshot = Snapshot()
    for node in nodes:
        snapshot.put_node(node)
    for pod in pods:
        snapshot.put_pod(pod)
    return snapshot


def budget(app: str, allowed: int) -> Budget:
    return Budget("d", Selector.from_labels({"app": app}), allowed)


def plan(pod: Obj, snapshot: Snapshot, budgets: list[Budget] | None = None, doomed: tuple[str, ...] = ()) -> Preemption:
    info = PodInfo.of(pod)
    outcome = decide(info, snapshot, FILTERS, [], random.Random(1))
    assert isinstance(outcome, Unfit), outcome
    return preemption.plan(info, outcome, snapshot, FILTERS, budgets or [], frozenset(doomed))


def fits_without(pod: Obj, snapshot: Snapshot, node: str, gone: set[str]) -> bool:
    """Whether the node takes the pod when these pods are not there, worked out from nothing."""
    others = [one.pod for each in snapshot.nodes for one in each.pods.values() if one.uid not in gone]
    fresh = snapshot_of([each.node for each in snapshot.nodes if each.name == node], others)
    return isinstance(decide(PodInfo.of(pod), fresh, FILTERS, [], random.Random(1)), Fit)


placed_pods = st.lists(
    st.tuples(
        st.integers(0, 4), st.integers(1, 4), st.sampled_from("abc"), st.sampled_from(["n0", "n1", "n2"]), st.booleans()
    ),
    max_size=14,
)


@given(placed_pods, st.integers(1, 8), st.integers(0, 5), st.lists(st.integers(0, 2), min_size=2, max_size=2))
def test_never_more_than_needed_nor_anybody_as_important(
    placed: list[tuple[int, int, str, str, bool]], cpu: int, priority: int, allowed: list[int]
) -> None:
    pods: list[Obj] = []
    for number, (importance, size, app, node, leaving) in enumerate(placed):
        pod = a_pod(f"p{number}", importance, size, node, app, age=number)
        if leaving:
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:00Z"
        if sum(int(one["spec"]["containers"][0]["resources"]["requests"]["cpu"]) for one in pods
               if one["spec"]["nodeName"] == node) + size <= 8:  # fmt: skip
            pods.append(pod)
    snapshot = snapshot_of([a_node(f"n{number}") for number in range(3)], pods)
    budgets = [budget("a", allowed[0]), budget("b", allowed[1])]
    newcomer = a_pod("new", priority, cpu)
    if isinstance(decide(PodInfo.of(newcomer), snapshot, FILTERS, [], random.Random(1)), Fit):
        return
    before = {node.name: (dict(node.requested), set(node.pods)) for node in snapshot.nodes}
    gain = plan(newcomer, snapshot, budgets)
    assert {node.name: (dict(node.requested), set(node.pods)) for node in snapshot.nodes} == before
    ways = {name: _ways(newcomer, snapshot, name) for name in before}
    if not gain.node:
        assert not any(ways.values())
        return
    victims = {one.uid for one in gain.victims}
    leaving = _leaving(snapshot, gain.node, priority)
    assert all(one.priority < priority for one in gain.victims)
    assert fits_without(newcomer, snapshot, gain.node, victims | leaving)
    for one in victims:
        assert not fits_without(newcomer, snapshot, gain.node, (victims - {one}) | leaving)
    harmless = any(not split_by_budgets(way, budgets)[0] for name in ways for way in ways[name])
    assert bool(gain.violations) == bool(split_by_budgets(gain.victims, budgets)[0])
    assert not (gain.violations and harmless)


def _leaving(snapshot: Snapshot, node: str, priority: int) -> set[str]:
    here = next(each for each in snapshot.nodes if each.name == node)
    return {
        uid for uid, one in here.pods.items() if one.priority < priority and "deletionTimestamp" in one.pod["metadata"]
    }


def _ways(newcomer: Obj, snapshot: Snapshot, node: str) -> list[list[PodInfo]]:
    """Every set of pods that would make enough room on the node."""
    here = next(each for each in snapshot.nodes if each.name == node)
    priority = newcomer["spec"]["priority"]
    leaving = _leaving(snapshot, node, priority)
    cpu = PodInfo.of(newcomer).requests["cpu"]
    lower = [one for uid, one in here.pods.items() if one.priority < priority and uid not in leaving]
    used = here.requested.get("cpu", 0) - sum(here.pods[uid].requests["cpu"] for uid in leaving)
    return [
        list(way)
        for size in range(len(lower) + 1)
        for way in combinations(lower, size)
        if used - sum(one.requests["cpu"] for one in way) + cpu <= 8000
    ]


def test_a_budget_is_kept_at_the_price_of_more_important_victims() -> None:
    pods = [a_pod("kept", 1, 8, "n0", "a"), a_pod("gone", 2, 8, "n1", "b")]
    snapshot = snapshot_of([a_node("n0"), a_node("n1")], pods)
    assert plan(a_pod("new", 3, 4), snapshot).node == "n0"
    gain = plan(a_pod("new", 3, 4), snapshot, [budget("a", 0)])
    assert (gain.node, [one.uid for one in gain.victims], gain.violations) == ("n1", ["gone"], 0)
    gain = plan(a_pod("new", 3, 4), snapshot, [budget("a", 0), budget("b", 0)])
    assert (gain.node, gain.violations) == ("n0", 1)


def test_what_an_empty_selector_covers_and_who_is_announced() -> None:
    pod = PodInfo.of(a_pod("p", 1, app="a"))
    assert not Budget("d", Selector.everything(), 0).covers(pod)
    assert not Budget("other", Selector.from_labels({"app": "a"}), 0).covers(pod)
    assert not Budget("d", Selector.from_labels({"app": "a"}), 0, frozenset({"p"})).covers(pod)
    assert budget("a", 0).covers(pod)


def test_room_that_was_promised_is_not_taken_by_the_less_important() -> None:
    snapshot = snapshot_of([a_node("n0")], [])
    snapshot.nominate(PodInfo.of(a_pod("high", 5, 6)), "n0")
    low, equal, higher = (PodInfo.of(a_pod("new", priority, 4)) for priority in (1, 5, 9))
    for pod, taken in ((low, False), (equal, False), (higher, True)):
        assert isinstance(decide(pod, snapshot, FILTERS, [], random.Random(1)), Fit) == taken
    high = PodInfo.of(a_pod("high", 5, 6))
    assert decide(high, snapshot, FILTERS, [], random.Random(1)) == Fit("n0", 0)
    snapshot.denominate("high")
    assert isinstance(decide(low, snapshot, FILTERS, [], random.Random(1)), Fit)


def test_victims_already_chosen_are_waited_for() -> None:
    snapshot = snapshot_of(
        [a_node("n0")],
        [
            a_pod("low", 1, 8, "n0"),
        ],
    )
    newcomer = a_pod("new", 5, 4)
    snapshot.nominate(PodInfo.of(newcomer), "n0")
    gain = plan(newcomer, snapshot, doomed=("low",))
    assert (gain.node, gain.explanation) == ("", "not eligible due to a terminating pod on the nominated node.")
    second = a_pod("second", 5, 4)
    found = plan(second, snapshot, doomed=("low",))
    assert (found.node, found.victims) == ("n0", ())
    third = a_pod("third", 5, 5)
    assert plan(third, snapshot, doomed=("low",)).explanation == "0/1 nodes are available: 1 Insufficient cpu."


def test_why_nothing_is_gained() -> None:
    snapshot = snapshot_of([a_node("n0"), a_node("n1", 2)], [a_pod("same", 5, 8, "n0")])
    text = "0/2 nodes are available: 1 No preemption victims found for incoming pod, "
    assert plan(a_pod("new", 5, 4), snapshot).explanation == text + "1 Preemption is not helpful for scheduling."
    never = a_pod("never", 9, 4, preemptionPolicy="Never")
    assert plan(never, snapshot).explanation == "not eligible due to preemptionPolicy=Never."


def test_spreading_and_keeping_apart_can_be_had_by_evicting() -> None:
    term = {"labelSelector": {"matchLabels": {"app": "a"}}, "topologyKey": "zone"}
    anti = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    spread = [{**term, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]
    pods = [a_pod("in-a", 1, 1, "n0", "a"), a_pod("other", 1, 1, "n0", "b"), a_pod("in-b", 3, 1, "n1", "a")]
    nodes = [a_node("n0"), a_node("n1", zone="b")]
    gain = plan(a_pod("new", 5, app="a", affinity=anti), snapshot_of(nodes, pods))
    assert [one.uid for one in gain.victims] == ["in-a"]
    # Zone c is empty and full of others: there one more would be even.
    far = [*nodes, a_node("n2", 1, "c")]
    gain = plan(a_pod("new", 5, app="a", topologySpreadConstraints=spread), snapshot_of(
        far, [*pods, a_pod("blocks", 0, 1, "n2", "b")]))  # fmt: skip
    assert (gain.node, [one.uid for one in gain.victims]) == ("n2", ["blocks"])
    near = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    found = plan(a_pod("new", 5, affinity=near), snapshot_of([a_node("n0")], [a_pod("low", 1, 1, "n0", "b")]))
    assert found.explanation == "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
