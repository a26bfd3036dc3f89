"""Rankings choose what looking at every node would choose, whatever happened in between."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wherry.api.types import Obj
from wherry.scheduler.decision import Fit, decide
from wherry.scheduler.framework import SKIP, scaled
from wherry.scheduler.plugins import default_spread, node_affinity, node_basics, node_resources, taint_toleration
from wherry.scheduler.plugins.inter_pod_affinity import inter_pod_affinity
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.ranking import KEPT_MAX, Rankings, signature_of
from wherry.scheduler.snapshot import Snapshot

AFFINITY = inter_pod_affinity(namespaces=type("None", (), {"get": lambda *_: None})())
FILTERS = [
    node_basics.NODE_UNSCHEDULABLE, node_basics.NODE_NAME, taint_toleration.FILTER, node_affinity.FILTER,
    node_basics.NODE_PORTS, node_resources.FILTER, AFFINITY[0],
]  # fmt: skip
SCORES = [
    taint_toleration.SCORE, node_affinity.SCORE, node_resources.LEAST_ALLOCATED, node_resources.BALANCED,
    default_spread.OF_REPLICAS, AFFINITY[1],
]  # fmt: skip


def a_node(name: str, cpu: int, zone: str = "a", taint: str = "", unschedulable: bool = False) -> Obj:
    spec: Obj = {"unschedulable": unschedulable}
    if taint:
        spec["taints"] = [{"key": "k", "effect": taint}]
    amounts = {"cpu": str(cpu), "memory": "16Gi", "pods": "20"}
    labels = {"zone": zone, "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"allocatable": amounts}}


def a_pod(uid: str, cpu: str = "500m", node: str = "", owner: str = "", **spec: Any) -> Obj:
    containers = [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]
    owners = [{"uid": owner, "kind": "ReplicaSet", "controller": True}] if owner else []
    if node:
        spec["nodeName"] = node
    return {
        "metadata": {"name": uid, "namespace": "default", "uid": uid, "ownerReferences": owners},
        "spec": {"containers": containers, **spec},
        "status": {},
    }


class Cluster:
    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.rankings = Rankings(self.snapshot, FILTERS, SCORES, random.Random(1))

    def merits(self, pod: PodInfo) -> dict[str, float]:
        """The score of every node that would take the pod."""
        nodes = []
        for node in self.snapshot.nodes:
            states = [(one, one.prepare(pod, self.snapshot)) for one in FILTERS]
            if not any(state is not SKIP and one.check(pod, node, state) for one, state in states):
                nodes.append(node)
        merits = dict.fromkeys((node.name for node in nodes), 0.0)
        for one in (node_resources.LEAST_ALLOCATED, node_resources.BALANCED, default_spread.OF_REPLICAS):
            state = one.prepare(pod, self.snapshot)
            raw = [0.0 if state is SKIP else one.rate(pod, node, state) for node in nodes]
            for node, value in zip(nodes, scaled(raw, one.scale), strict=True):
                merits[node.name] += one.weight * int(value)
        return merits


changes = st.lists(
    st.tuples(
        st.sampled_from(["place", "place", "place", "gone", "node", "cordon", "away", "elsewhere"]),
        st.integers(0, 5),
        st.sampled_from(["500m", "2", "100m"]),
        st.sampled_from([None, {"zone": "a"}]),
        st.sampled_from(["", "web", "cart"]),
    ),
    max_size=60,
)


@given(changes)
def test_the_same_choice_as_looking_at_every_node(happenings: list[tuple[str, int, str, Any, str]]) -> None:
    cluster = Cluster()
    for number in range(4):
        cluster.snapshot.put_node(a_node(f"n{number}", 4 + number, "ab"[number % 2]))
    placed: list[str] = []
    for step, (what, number, cpu, selector, owner) in enumerate(happenings):
        name = f"n{number}"
        if what == "node":
            cluster.snapshot.put_node(a_node(name, 4 + number, "ab"[step % 2]))
        elif what == "cordon":
            cluster.snapshot.put_node(a_node(name, 4, unschedulable=True))
        elif what == "away":
            cluster.snapshot.remove_node(name)
        elif what == "elsewhere":
            cluster.snapshot.put_pod(a_pod(f"other{step}", cpu, node=name, owner=owner))
        elif what == "gone" and placed:
            cluster.snapshot.remove_pod(placed.pop(number % len(placed)))
        elif what == "place":
            pod = PodInfo.of(a_pod(f"p{step}", cpu, owner=owner, nodeSelector=selector))
            merits = cluster.merits(pod)
            chosen = cluster.rankings.choose(pod)
            if chosen is None:
                outcome = decide(pod, cluster.snapshot, FILTERS, SCORES, random.Random(step))
                assert isinstance(outcome, Fit) == bool(merits)
                chosen = outcome.node if isinstance(outcome, Fit) else None
            if chosen is not None:
                assert merits[chosen] == max(merits.values())
                cluster.snapshot.assume(pod, chosen)
                placed.append(pod.uid)


def two_chosen(cluster: Cluster, **spec: Any) -> str | None:
    """What the second of two like pods is told: only that one may be ranked."""
    assert cluster.rankings.choose(PodInfo.of(a_pod("first", **spec))) is None
    return cluster.rankings.choose(PodInfo.of(a_pod("second", **spec)))


def test_the_second_of_its_kind_is_ranked() -> None:
    cluster = Cluster()
    cluster.snapshot.put_node(a_node("small", 2))
    cluster.snapshot.put_node(a_node("large", 8))
    assert two_chosen(cluster) == "large"


def test_replicas_go_where_few_of_them_are() -> None:
    cluster = Cluster()
    for name in ("a", "b", "c"):
        cluster.snapshot.put_node(a_node(name, 8))
    placed = []
    for number in range(9):
        pod = PodInfo.of(a_pod(f"p{number}", "1m", owner="web"))
        outcome = decide(pod, cluster.snapshot, FILTERS, SCORES, random.Random(number))
        chosen = cluster.rankings.choose(pod) or (outcome.node if isinstance(outcome, Fit) else "")
        cluster.snapshot.assume(pod, chosen)
        placed.append(chosen)
    assert [sorted(placed[at : at + 3]) for at in (0, 3, 6)] == [["a", "b", "c"]] * 3


def test_pods_about_which_others_matter_are_not() -> None:
    cluster = Cluster()
    cluster.snapshot.put_node(a_node("n", 8))
    term = {"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": "zone"}
    anti = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert two_chosen(cluster, affinity=anti) is None


def test_pods_that_others_keep_away_are_not() -> None:
    cluster = Cluster()
    cluster.snapshot.put_node(a_node("n", 8))
    term = {"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": "zone"}
    anti = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    cluster.snapshot.put_pod(a_pod("other", node="n", affinity=anti))
    assert two_chosen(cluster) == "n"
    meant = a_pod("meant")
    meant["metadata"]["labels"] = {"a": "b"}
    assert cluster.rankings.choose(PodInfo.of(meant)) is None


def test_wishes_about_nodes_are_compared_between_nodes() -> None:
    cluster = Cluster()
    cluster.snapshot.put_node(a_node("plain", 8))
    assert two_chosen(cluster) == "plain"
    cluster.snapshot.put_node(a_node("tainted", 8, taint="PreferNoSchedule"))
    assert cluster.rankings.choose(PodInfo.of(a_pod("third"))) is None
    assert cluster.snapshot.listeners == []


def test_nothing_that_fits_is_left_to_who_can_say_why() -> None:
    cluster = Cluster()
    cluster.snapshot.put_node(a_node("n", 1))
    assert two_chosen(cluster, cpu="2") is None
    cluster.snapshot.put_node(a_node("n", 4))
    assert cluster.rankings.choose(PodInfo.of(a_pod("again", cpu="2"))) == "n"


def test_few_rankings_are_kept() -> None:
    cluster = Cluster()
    cluster.snapshot.put_node(a_node("n", 8))
    for number in range(3 * KEPT_MAX):
        assert two_chosen(cluster, cpu=f"{number + 1}m") == "n"
    assert len(cluster.snapshot.listeners) == KEPT_MAX


def test_what_makes_pods_alike() -> None:
    assert signature_of(PodInfo.of(a_pod("one"))) == signature_of(PodInfo.of(a_pod("two")))
    differing = [{"cpu": "1"}, {"nodeSelector": {"a": "b"}}, {"tolerations": [{"operator": "Exists"}]}]
    assert len({signature_of(PodInfo.of(a_pod("p", **spec))) for spec in differing}) == 3
