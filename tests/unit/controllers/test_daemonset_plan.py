"""What a DaemonSet does next: nodes chosen, budgets kept, whatever pods do meanwhile."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.controllers.daemonset.nodes import Needs, judge
from wherry.controllers.daemonset.plan import Plan, View, budgets, plan
from wherry.controllers.daemonset.pods import by_node, new_pod, node_of, tolerations
from wherry.controllers.daemonset.status import status
from wherry.reconcile.pods import is_ready

NOW = 1_700_000_000.0


def a_set(unavailable: int | str = 1, surge: int | str = 0, kind: str = "RollingUpdate", **spec: Any) -> Obj:
    rolling = {"maxUnavailable": unavailable, "maxSurge": surge}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "a", "namespace": "d", "uid": "u", "generation": 1},
        "spec": {
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [], **spec}},
            "updateStrategy": {"type": kind, "rollingUpdate": rolling},
        },
    }


def a_node(name: str, *taints: Obj, **labels: str) -> Obj:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": list(taints)}}


class Cluster:
    """Pods as a node that needs chance and time would have them."""

    def __init__(self, daemonset: Obj, nodes: int, rng: random.Random) -> None:
        self.daemonset, self.rng = daemonset, rng
        self.nodes = [a_node(f"n{number}") for number in range(nodes)]
        self.pods: list[Obj] = []
        self.made = 0

    def start(self, node: str, hash_value: str, *, ready: bool = False) -> None:
        self.made += 1
        pod = new_pod(self.daemonset, node, hash_value)
        pod["metadata"] |= {"name": f"a-{self.made}", "uid": str(self.made), "creationTimestamp": rfc3339(NOW)}
        pod["spec"]["nodeName"] = node
        pod["status"] = {"phase": "Running", "conditions": [condition(ready)]}
        self.pods.append(pod)

    def view(self, hash_value: str) -> View:
        return View.of(self.daemonset, hash_value, by_node(self.pods), self.nodes, NOW + 1000)

    def perform(self, todo: Plan, hash_value: str) -> None:
        for pod in todo.delete:
            pod["metadata"]["deletionTimestamp"] = rfc3339(NOW)
        for node in todo.create:
            self.start(node, hash_value)

    def pass_time(self, sick: float) -> None:
        """Some of those that go are gone, some that start are ready, and some new ones fall ill."""
        gone = [pod for pod in self.pods if "deletionTimestamp" in pod["metadata"] and self.rng.random() < 0.5]
        self.pods = [pod for pod in self.pods if not any(pod is one for one in gone)]
        for pod in self.pods:
            if not is_ready(pod) and self.rng.random() < 0.5:
                pod["status"]["conditions"] = [condition(self.rng.random() >= sick)]

    def serving(self) -> int:
        return len({node_of(pod) for pod in self.pods if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]})


def condition(ready: bool) -> Obj:
    return {"type": "Ready", "status": str(ready), "lastTransitionTime": rfc3339(NOW)}


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.sampled_from([(1, 0), (3, 0), ("50%", 0), (0, 1), (0, "30%")]), st.integers(0, 2**32))
def test_an_update_keeps_its_bounds_and_ends(nodes: int, rolling: tuple[int | str, int | str], seed: int) -> None:
    daemonset = a_set(*rolling)
    cluster = Cluster(daemonset, nodes, random.Random(seed))
    for node in cluster.nodes:
        cluster.start(node["metadata"]["name"], "old", ready=True)
    surge, unavailable = budgets(daemonset, nodes)
    for _ in range(400):
        cluster.perform(plan(cluster.view("new")), "new")
        alive = [pod for pod in cluster.pods if "deletionTimestamp" not in pod["metadata"]]
        assert len(alive) <= nodes + surge
        assert cluster.serving() >= nodes - unavailable
        cluster.pass_time(sick=0.2)
    found, _ = status(cluster.view("new"))
    assert found["updatedNumberScheduled"] == found["numberAvailable"] == nodes
    assert plan(cluster.view("new")).nothing


def test_outdated_pods_that_do_not_serve_go_first_and_are_counted() -> None:
    cluster = Cluster(a_set(unavailable=2), 4, random.Random(1))
    for node, ready in zip(cluster.nodes, (True, False, True, True), strict=True):
        cluster.start(node["metadata"]["name"], "old", ready=ready)
    assert [pod["metadata"]["name"] for pod in plan(cluster.view("new")).delete] == ["a-2", "a-1"]
    for pod in cluster.pods:
        pod["status"]["conditions"] = [condition(False)]
    assert len(plan(cluster.view("new")).delete) == 4


def test_on_delete_never_replaces_by_itself() -> None:
    cluster = Cluster(a_set(kind="OnDelete"), 3, random.Random(1))
    for node in cluster.nodes:
        cluster.start(node["metadata"]["name"], "old", ready=True)
    assert plan(cluster.view("new")).nothing
    cluster.pods.pop()
    assert plan(cluster.view("new")).create == ["n2"]


def test_second_pods_go_the_younger_first_and_pods_for_nodes_that_are_gone() -> None:
    cluster = Cluster(a_set(), 2, random.Random(1))
    for name in ("n0", "n0", "n1"):
        cluster.start(name, "h", ready=True)
    assert [pod["metadata"]["name"] for pod in plan(cluster.view("h")).delete] == ["a-2"]
    cluster.start("away", "h")
    cluster.pods[-1]["spec"].pop("nodeName")
    assert [pod["metadata"]["name"] for pod in plan(cluster.view("h")).delete] == ["a-2", "a-4"]


@pytest.mark.parametrize(
    ("taint", "verdict"),
    [
        ({"key": "x", "effect": "NoSchedule"}, (False, True)),
        ({"key": "x", "effect": "NoExecute"}, (False, False)),
        ({"key": "x", "effect": "PreferNoSchedule"}, (True, True)),
        ({"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}, (True, True)),
        ({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}, (True, True)),
        ({"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}, (False, True)),
    ],
)
def test_taints(taint: Obj, verdict: tuple[bool, bool]) -> None:
    assert judge(Needs.of(a_set()), a_node("n", taint)) == verdict


def test_labels_names_and_affinity_choose_nodes() -> None:
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["fast"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    for spec in ({"nodeSelector": {"disk": "fast"}}, {"affinity": {"nodeAffinity": required}}, {"nodeName": "b"}):
        needs = Needs.of(a_set(**spec))
        assert judge(needs, a_node("a", disk="slow")) == (False, False)
        assert judge(needs, a_node("b", disk="fast")) == (True, True)


def test_tolerations_of_ones_own_give_way_to_those_every_daemon_has() -> None:
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    found = tolerations({"tolerations": [own, {"operator": "Exists"}], "hostNetwork": True})
    assert "tolerationSeconds" not in found[0]
    assert len(found) == 8
    assert found[-1]["key"] == "node.kubernetes.io/network-unavailable"
