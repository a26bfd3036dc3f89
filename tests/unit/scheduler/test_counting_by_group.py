"""Counting placed pods by groups that are alike gives what counting each of them gives, whatever happened before."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wherry.api.types import Obj
from wherry.scheduler.framework import SKIP
from wherry.scheduler.plugins import pod_topology_spread
from wherry.scheduler.plugins.inter_pod_affinity import inter_pod_affinity
from wherry.scheduler.pod_info import PodInfo
from wherry.scheduler.pod_terms import REQUIRED
from wherry.scheduler.snapshot import Snapshot


class NoNamespaces:
    def get(self, name: str, namespace: str | None = None) -> Obj | None:
        return None


NEARNESS, LIKING = inter_pod_affinity(NoNamespaces())
CHOSEN = {"labelSelector": {"matchLabels": {"app": "a"}}, "topologyKey": "zone"}
HAPPENINGS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "going", "gone", "node", "away"]), st.integers(0, 7), st.integers(0, 3)),
    max_size=40,
)


def a_node(number: int, zone: str) -> Obj:
    labels = {"zone": zone} if zone != "none" else {}
    return {"metadata": {"name": f"n{number}", "labels": labels}, "spec": {}, "status": {}}


def a_pod(number: int, node: int, going: bool = False) -> Obj:
    metadata: Obj = {"name": f"p{number}", "uid": f"p{number}", "namespace": "de"[number % 4 == 3]}
    metadata["labels"] = {"app": "ab"[number % 2], "number": str(number // 4)}
    if going:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata, "spec": {"containers": [], "nodeName": f"n{node}"}}


def newcomer(**spec: Any) -> PodInfo:
    metadata = {"name": "new", "uid": "new", "namespace": "d", "labels": {"app": "a"}}
    return PodInfo.of({"metadata": metadata, "spec": {"containers": [], **spec}})


def counted(snapshot: Snapshot, *, going: bool) -> Counter[str]:
    """Pods of `CHOSEN` by zone, one after the other."""
    found: Counter[str] = Counter()
    for node in snapshot.nodes:
        for pod in node.pods.values():
            metadata = pod.pod["metadata"]
            meant = metadata["namespace"] == "d" and metadata["labels"]["app"] == "a"
            if meant and "zone" in node.labels and (going or "deletionTimestamp" not in metadata):
                found[node.labels["zone"]] += 1
    return found


@given(HAPPENINGS)
def test_groups_count_as_their_pods_do(happenings: list[tuple[str, int, int]]) -> None:
    snapshot = Snapshot()
    spread = newcomer(topologySpreadConstraints=[{**CHOSEN, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}])
    apart = newcomer(affinity={"podAntiAffinity": {REQUIRED: [CHOSEN]}})
    wish = {"weight": 3, "podAffinityTerm": CHOSEN}
    liking = newcomer(affinity={"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}})
    for what, number, node in happenings:
        if what in ("put", "going"):
            snapshot.put_pod(a_pod(number, node, going=what == "going"))
        elif what == "gone":
            snapshot.remove_pod(f"p{number}")
        elif what == "node":
            snapshot.put_node(a_node(node, ["x", "y", "none"][number % 3]))
        else:
            snapshot.remove_node(f"n{node}")
        zones = {each.labels["zone"] for each in snapshot.nodes if "zone" in each.labels}
        alive, all_of_them = counted(snapshot, going=False), counted(snapshot, going=True)
        (constraint,) = pod_topology_spread.FILTER.prepare(spread, snapshot)
        assert constraint.counts == {zone: alive[zone] for zone in zones}
        assert constraint.lowest == min((alive[zone] for zone in zones), default=0)
        state = NEARNESS.prepare(apart, snapshot)
        assert {place[1]: number for place, number in state.away_from.items()} == all_of_them
        likes = LIKING.prepare(liking, snapshot)
        expected = {("zone", zone): 3 * number for zone, number in all_of_them.items()}
        assert likes is SKIP if not expected else likes == expected
