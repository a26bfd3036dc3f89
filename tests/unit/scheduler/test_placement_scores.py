"""What makes one node better than another: wishes of pods already there, images, spreading."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_preemption import a_node, a_pod, snapshot_of

from wherry.api.types import Obj
from wherry.scheduler.decision import Fit, decide
from wherry.scheduler.framework import NOT_RATED, SKIP, Score, scaled
from wherry.scheduler.plugins import image_locality, pod_topology_spread
from wherry.scheduler.plugins.inter_pod_affinity import inter_pod_affinity
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.pod_terms import ANTI_AFFINITY, REQUIRED, terms_of, wishes_of
from wherry.scheduler.ranking import Rankings
from wherry.scheduler.snapshot import Snapshot

MIB = 1024 * 1024


class Namespaces:
    def get(self, name: str, namespace: str | None = None) -> Obj | None:
        return {"metadata": {"name": name, "labels": {"team": "shop" if name == "d" else "other"}}}


AFFINITY = inter_pod_affinity(Namespaces())


def wish(weight: int, app: str, key: str = "zone", **term: Any) -> Obj:
    chosen = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key, **term}
    return {"weight": weight, "podAffinityTerm": chosen}


def preferring(kind: str, *wishes: Obj) -> Obj:
    return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": list(wishes)}}


def best(pod: Obj, snapshot: Snapshot, *scores: Score) -> str:
    found = decide(PodInfo.of(pod), snapshot, [], scores, random.Random(1))
    assert isinstance(found, Fit)
    return found.node


ZONES = [a_node("n0", zone="a"), a_node("n1", zone="b")]


@pytest.mark.parametrize(
    ("affinity", "expected"),
    [
        (preferring("podAffinity", wish(10, "new")), "n0"),
        (preferring("podAntiAffinity", wish(10, "new")), "n1"),
        (preferring("podAffinity", wish(10, "new", namespaceSelector={"matchLabels": {"team": "shop"}})), "n0"),
        ({"podAffinity": {REQUIRED: [wish(1, "new")["podAffinityTerm"]]}}, "n0"),
    ],
)
def test_pods_already_there_have_wishes_about_newcomers(affinity: Obj, expected: str) -> None:
    snapshot = snapshot_of(ZONES, [a_pod("old", 0, 1, "n0", affinity=affinity)])
    assert best(a_pod("p", 0, app="new"), snapshot, AFFINITY[1]) == expected
    assert AFFINITY[1].prepare(PodInfo.of(a_pod("p", 0, app="else")), snapshot) is SKIP
    elsewhere = preferring("podAffinity", wish(10, "new", namespaceSelector={"matchLabels": {"team": "other"}}))
    stranger = snapshot_of(ZONES, [a_pod("old", 0, 1, "n0", affinity=elsewhere)])
    assert AFFINITY[1].prepare(PodInfo.of(a_pod("p", 0, app="new")), stranger) is SKIP


happenings = st.lists(
    st.tuples(st.sampled_from(["put", "gone", "label", "away"]), st.integers(0, 3), st.integers(0, 3)), max_size=40
)
AFFINITIES: list[Obj] = [
    {},
    preferring("podAffinity", wish(3, "a"), wish(5, "b", "host")),
    preferring("podAntiAffinity", wish(3, "a")),
    {"podAntiAffinity": {REQUIRED: [wish(1, "a")["podAffinityTerm"]]}},
]


@given(happenings)
def test_terms_are_counted_as_if_counted_anew(steps: list[tuple[str, int, int]]) -> None:
    snapshot = Snapshot()
    for what, number, other in steps:
        name = f"n{number}"
        if what == "put":
            snapshot.put_pod(a_pod(f"p{number}{other}", 0, 1, f"n{other}", affinity=AFFINITIES[number]))
        elif what == "gone":
            snapshot.remove_pod(f"p{number}{other}")
        elif what == "label":
            snapshot.put_node(a_node(name, zone="abcd"[other]))
        else:
            snapshot.remove_node(name)
    wishes: Counter[Any] = Counter()
    refusals: Counter[Any] = Counter()
    for node in snapshot.nodes:
        for pod in node.pods.values():
            for weight, term in wishes_of(pod):
                wishes[term, node.labels[term.topology_key]] += weight
            for term in terms_of(pod, ANTI_AFFINITY, REQUIRED):
                refusals[term, node.labels[term.topology_key]] += 1
    for kept, counted in ((snapshot.terms.wishes, wishes), (snapshot.terms.refusals, refusals)):
        flat = {(term, value): number for term, values in kept.items() for value, number in values.items()}
        assert flat == {key: number for key, number in counted.items() if number}


def with_images(node: Obj, **sizes: int) -> Obj:
    images = [{"names": [f"shop/{name}:v1"], "sizeBytes": size * MIB} for name, size in sizes.items()]
    return {**node, "status": {**node["status"], "images": images}}


def image_pod(name: str, *images: str) -> Obj:
    pod = a_pod(name, 0)
    pod["spec"]["containers"] = [{"image": one} for one in images]
    return pod


def test_images_that_are_there_count_by_size_and_spread() -> None:
    snapshot = Snapshot()
    snapshot.put_node(with_images(ZONES[0], cart=600, small=10))
    snapshot.put_node(ZONES[1])

    def score(*images: str) -> Any:
        pod = PodInfo.of(image_pod("p", *images))
        state = image_locality.SCORE.prepare(pod, snapshot)
        if state is SKIP:
            return None
        return [image_locality.SCORE.rate(pod, node, state) for node in snapshot.nodes]

    assert score("shop/unknown:v1") is None
    # Half of 600 MiB, for it is on half of the nodes: (300 - 23) of (1000 - 23).
    assert score("shop/cart:v1") == [28, 0]
    assert score("shop/small:v1") == [0, 0]
    assert score("shop/cart:v1", "shop/unknown:v1") == [14, 0]
    snapshot.put_node(with_images(ZONES[1], cart=600))
    assert score("shop/cart:v1") == [59, 59]
    assert PodInfo.of(image_pod("p", "a.example:5000/cart", "cart", "cart@sha256:00")).images == (
        "a.example:5000/cart:latest", "cart:latest", "cart@sha256:00",
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), min_size=1, max_size=20))
def test_rankings_know_when_images_come_and_go(steps: list[tuple[int, int, bool]]) -> None:
    snapshot = Snapshot()
    rankings = Rankings(snapshot, [], [image_locality.SCORE], random.Random(1))
    for number, size, gone in steps:
        if gone:
            snapshot.remove_node(f"n{number}")
        else:
            snapshot.put_node(with_images(a_node(f"n{number}"), cart=size * 300))
        pod = PodInfo.of(image_pod("p", "shop/cart:v1"))
        chosen = rankings.choose(pod)
        if chosen is not None:
            worth = {node.name: image_locality.SCORE.rate(pod, node, snapshot.images) for node in snapshot.nodes}
            assert worth[chosen] == max(worth.values())


def test_spreading_prefers_the_empty_zone_and_gives_nothing_to_nodes_without() -> None:
    spread = [
        {
            "labelSelector": {"matchLabels": {"app": "a"}},
            "topologyKey": "zone",
            "maxSkew": 1,
            "whenUnsatisfiable": "ScheduleAnyway",
        }
    ]
    bare = a_node("n2")
    del bare["metadata"]["labels"]["zone"]
    snapshot = snapshot_of([*ZONES, bare], [a_pod("old", 0, 1, "n0", "a")])
    pod = a_pod("p", 0, app="a", topologySpreadConstraints=spread)
    assert best(pod, snapshot, pod_topology_spread.SCORE) == "n1"
    assert scaled([2, 1, NOT_RATED, 3], "spread") == pytest.approx([66.67, 100, 0, 33.33], abs=0.01)
    assert scaled([0, NOT_RATED], "spread") == [100, 0]
