"""Pods that ask for no spreading are spread over nodes and zones; volumes are limited by drivers and labelled zones."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from wherry.api.types import Obj
from wherry.scheduler.decision import Fit, decide
from wherry.scheduler.framework import OK, SKIP, Filter, scaled
from wherry.scheduler.plugins import default_spread
from wherry.scheduler.plugins.node_volume_limits import REASON as TOO_MANY
from wherry.scheduler.plugins.node_volume_limits import node_volume_limits
from wherry.scheduler.plugins.volume_zone import REASON as ELSEWHERE
from wherry.scheduler.plugins.volume_zone import volume_zone
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.ranking import Rankings
from wherry.scheduler.snapshot import Snapshot


class Listed:
    """An informer as far as the scheduler goes."""

    def __init__(self, *objects: Obj) -> None:
        self._objects = objects

    def get(self, name: str, namespace: str | None = None) -> Obj | None:
        found = (one for one in self.list(namespace) if one["metadata"]["name"] == name)
        return next(found, None)

    def list(self, namespace: str | None = None) -> list[Obj]:
        return [one for one in self._objects if namespace in (None, one["metadata"].get("namespace"))]


def a_node(name: str, zone: str = "", **labels: str) -> Obj:
    labels["kubernetes.io/hostname"] = name
    if zone:
        labels["topology.kubernetes.io/zone"] = zone
    return {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": {}}


def a_pod(name: str, kind: str = "", app: str = "web", node: str = "", **spec: Any) -> Obj:
    owners = [{"kind": kind, "uid": kind, "controller": True}] if kind else []
    metadata = {"name": name, "uid": name, "namespace": "d", "labels": {"app": app}, "ownerReferences": owners}
    return {"metadata": metadata, "spec": {"containers": [], **spec, **({"nodeName": node} if node else {})}}


def a_service(app: str) -> Obj:
    return {"metadata": {"name": app, "namespace": "d"}, "spec": {"selector": {"app": app}}}


def cluster(*nodes: Obj) -> Snapshot:
    snapshot = Snapshot()
    for node in nodes:
        snapshot.put_node(node)
    return snapshot


# Zone a has four nodes, b and c have one each: of twelve pods a would get eight for its nodes, four for being one of three.
UNEVEN = [a_node(f"a{number}", "a") for number in range(4)] + [a_node("b", "b"), a_node("c", "c")]


@pytest.mark.parametrize("kind", ["ReplicaSet", "StatefulSet", "ReplicationController"])
def test_replicas_spread_over_zones_and_within_them_over_nodes(kind: str) -> None:
    snapshot = cluster(*UNEVEN)
    scores = [default_spread.OF_REPLICAS]
    rankings = Rankings(snapshot, [], scores, random.Random(1))
    placed = Counter[str]()
    for number in range(12):
        pod = PodInfo.of(a_pod(f"p{number}", kind))
        outcome = decide(pod, snapshot, [], scores, random.Random(number))
        assert isinstance(outcome, Fit)
        chosen = rankings.choose(pod) or outcome.node
        snapshot.assume(pod, chosen)
        placed[chosen] += 1
    zones = Counter[str]()
    for name, count in placed.items():
        zones[name[0]] += count
    assert zones == {"a": 6, "b": 3, "c": 3}
    assert sorted(placed[f"a{number}"] for number in range(4)) == [1, 1, 2, 2]


def test_numbers_are_those_of_kube_scheduler() -> None:
    """Two pods on one of two nodes of two zones: (2·log 4 + 2) + (2·log 4 + 4) is 11.5, against 6 of the empty node."""
    snapshot = cluster(a_node("n0", "a"), a_node("n1", "b"))
    for name in ("x", "y"):
        snapshot.put_pod(a_pod(name, "ReplicaSet", node="n0"))
    pod, score = PodInfo.of(a_pod("new", "ReplicaSet")), default_spread.OF_REPLICAS
    state = score.prepare(pod, snapshot)
    raw = [score.rate(pod, node, state) for node in snapshot.nodes]
    assert raw == [12, 6]
    assert [int(value) for value in scaled(raw, score.scale)] == [50, 100]


def test_who_is_on_his_way_out_does_not_count() -> None:
    snapshot = cluster(a_node("n0", "a"))
    going = a_pod("x", "ReplicaSet", node="n0")
    snapshot.put_pod(going)
    assert dict(snapshot.zones.replicas("ReplicaSet")) == {"a": 1}
    snapshot.put_pod({**going, "metadata": {**going["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    assert dict(snapshot.zones.replicas("ReplicaSet")) == {}
    snapshot.put_node(a_node("n0", "b"))
    snapshot.put_pod(going)
    assert dict(snapshot.zones.replicas("ReplicaSet")) == {"b": 1}
    assert dict(snapshot.zones.nodes) == {"b": 1}
    snapshot.remove_node("n0")
    assert dict(snapshot.zones.replicas("ReplicaSet")) == dict(snapshot.zones.nodes) == {}


def test_pods_of_a_service_spread_and_others_do_not() -> None:
    snapshot = cluster(a_node("n0", "a"), a_node("n1", "b"), a_node("bare"))
    snapshot.put_pod(a_pod("x", "Job", node="n0"))
    score = default_spread.of_services(Listed(a_service("web"), a_service("other")))
    pod = PodInfo.of(a_pod("new", "Job"))
    state = score.prepare(pod, snapshot)
    ratings = {node.name: score.rate(pod, node, state) for node in snapshot.nodes}
    assert ratings["n0"] > ratings["n1"] > ratings["bare"]  # without a zone only the host counts
    lonely = PodInfo.of(a_pod("new", "Job", app="lonely"))
    asking = PodInfo.of(a_pod("new", "Job", topologySpreadConstraints=[{"topologyKey": "zone"}]))
    for one in (lonely, asking):
        assert score.prepare(one, snapshot) is SKIP
        assert default_spread.OF_REPLICAS.prepare(one, snapshot) is SKIP


# -- volumes


def claimed(name: str, *claims: str, node: str = "") -> Obj:
    volumes = [{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in claims]
    return a_pod(name, node=node, volumes=volumes)


def a_claim(name: str, volume: str = "", storage_class: str = "fast") -> Obj:
    spec = {"storageClassName": storage_class, **({"volumeName": volume} if volume else {})}
    return {"metadata": {"name": name, "namespace": "d"}, "spec": spec}


def a_volume(name: str, handle: str = "", **labels: str) -> Obj:
    csi = {"csi": {"driver": "disk.example.com", "volumeHandle": handle}} if handle else {"hostPath": {"path": "/x"}}
    return {"metadata": {"name": name, "labels": labels}, "spec": csi}


def csi_node(name: str, count: int | None) -> Obj:
    allocatable = {} if count is None else {"allocatable": {"count": count}}
    return {"metadata": {"name": name}, "spec": {"drivers": [{"name": "disk.example.com", **allocatable}]}}


def reasons(rule: Filter, pod: Obj, snapshot: Snapshot, node: str = "n0") -> Any:
    info, there = PodInfo.of(pod), snapshot.node(node)
    assert there is not None
    state = rule.prepare(info, snapshot)
    return OK if state is SKIP else rule.check(info, there, state)


@pytest.mark.parametrize(("limit", "there", "wanted", "fits"), [
    (2, ["one"], ["two"], True),
    (2, ["one", "two"], ["three"], False),
    (2, ["one", "two"], ["two"], True),  # it is there already
    (1, ["one"], ["same"], True),  # another claim of the same volume
    (1, ["one"], ["later"], False),  # not bound yet: of its class's driver
    (1, ["one"], ["folder"], True),  # no CSI volume
    (1, ["one"], ["gone"], True),
    (None, ["one", "two"], ["three"], True),
])  # fmt: skip
def test_a_node_takes_as_many_volumes_as_its_driver_says(
    limit: int | None, there: list[str], wanted: list[str], fits: bool
) -> None:
    volumes = Listed(*(a_volume(f"v-{one}", one) for one in ("one", "two", "three")), a_volume("v-folder"))
    claims = [a_claim(one, f"v-{one}") for one in ("one", "two", "three", "folder")]
    classes = Listed({"metadata": {"name": "fast"}, "provisioner": "disk.example.com"})
    known = Listed(*claims, a_claim("same", "v-one"), a_claim("later"))
    rule = node_volume_limits(known, volumes, classes, Listed(csi_node("n0", limit)))
    snapshot = cluster(a_node("n0"), a_node("n1"))
    for one in there:
        snapshot.put_pod(claimed(f"pod-{one}", one, node="n0"))
    assert reasons(rule, claimed("new", *wanted), snapshot) == (OK if fits else (TOO_MANY,))
    assert reasons(rule, claimed("new", *wanted), snapshot, "n1") == OK  # says nothing about limits


def test_without_drivers_nobody_asks() -> None:
    rule = node_volume_limits(Listed(a_claim("one", "v")), Listed(a_volume("v", "x")), Listed(), Listed())
    assert rule.prepare(PodInfo.of(claimed("new", "one")), cluster(a_node("n0"))) is SKIP


@pytest.mark.parametrize(("labels", "fits"), [
    ({"topology.kubernetes.io/zone": "a"}, True),
    ({"topology.kubernetes.io/zone": "b__a"}, True),
    ({"topology.kubernetes.io/zone": "b"}, False),
    ({"failure-domain.beta.kubernetes.io/zone": "a"}, True),
    ({"topology.kubernetes.io/region": "r"}, False),
    ({"else": "b"}, True),
])  # fmt: skip
def test_a_labelled_volume_is_used_from_its_zone(labels: dict[str, str], fits: bool) -> None:
    rule = volume_zone(Listed(a_claim("one", "v")), Listed(a_volume("v", **labels)))
    snapshot = cluster(a_node("n0", "a"), a_node("bare"))
    assert reasons(rule, claimed("new", "one"), snapshot) == (OK if fits else (ELSEWHERE,))
    assert reasons(rule, claimed("new", "one"), snapshot, "bare") == OK
