"""Taints of unwell nodes and when pods must leave them."""

from __future__ import annotations

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.controllers.node_lifecycle.eviction import evict_at
from wherry.controllers.node_lifecycle.health import NOT_READY, UNREACHABLE, taints_for, with_unknown

NOW = 1_700_000_000.0


def a_node(status: str, *taints: Obj) -> Obj:
    return {
        "metadata": {"name": "n", "creationTimestamp": rfc3339(NOW - 100)},
        "spec": {"taints": list(taints)},
        "status": {"conditions": [{"type": "Ready", "status": status, "lastHeartbeatTime": rfc3339(NOW - 50)}]},
    }


def test_taints_follow_the_ready_condition() -> None:
    own = {"key": "dedicated", "effect": "NoSchedule"}
    stale = {"key": NOT_READY, "effect": "NoSchedule"}
    assert taints_for(a_node("True", own, stale), NOW) == [own]
    found = taints_for(a_node("Unknown", own, stale), NOW)
    assert [(one["key"], one["effect"]) for one in found] == [
        ("dedicated", "NoSchedule"),
        (UNREACHABLE, "NoSchedule"),
        (UNREACHABLE, "NoExecute"),
    ]
    assert found[2]["timeAdded"] == rfc3339(NOW)
    again = a_node("Unknown", *found)
    assert taints_for(again, NOW + 60) == found


def test_pressure_and_a_cordon_are_taints_too() -> None:
    node = a_node("True")
    node["spec"]["unschedulable"] = True
    node["status"]["conditions"] += [
        {"type": "MemoryPressure", "status": "True"},
        {"type": "DiskPressure", "status": "False"},
        {"type": "NetworkUnavailable", "status": "True"},
    ]
    found = taints_for(node, NOW)
    assert {(one["key"].removeprefix("node.kubernetes.io/"), one["effect"]) for one in found} == {
        ("memory-pressure", "NoSchedule"),
        ("network-unavailable", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    }
    assert taints_for(a_node("True", *found), NOW) == []


def test_all_conditions_become_unknown_and_keep_their_heartbeat() -> None:
    conditions = {one["type"]: one for one in with_unknown(a_node("True"), NOW)["conditions"]}
    assert set(conditions) == {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}
    assert {one["status"] for one in conditions.values()} == {"Unknown"}
    assert conditions["Ready"]["reason"] == "NodeStatusUnknown"
    assert conditions["Ready"]["lastHeartbeatTime"] == rfc3339(NOW - 50)
    assert conditions["DiskPressure"]["reason"] == "NodeStatusNeverUpdated"


def test_when_a_pod_must_leave() -> None:
    taint = {"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": rfc3339(NOW)}

    def pod(*tolerations: Obj) -> Obj:
        return {"spec": {"tolerations": list(tolerations)}}

    for_a_while = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for_good = {"operator": "Exists"}
    assert evict_at(pod(), [taint], NOW + 1) == NOW + 1
    assert evict_at(pod(for_a_while), [taint], NOW + 1) == NOW + 300
    assert evict_at(pod(for_good), [taint], NOW + 1) is None
    assert evict_at(pod(for_a_while), [{"key": UNREACHABLE, "effect": "NoSchedule"}], NOW) is None
