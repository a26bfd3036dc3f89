"""What the kubelet writes about a pod: only what changed, and nothing of before is left."""

from __future__ import annotations

from wherry.kubelet.status_manager import difference

UNREADY = {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "unready: [main]"}
READY = {"type": "Ready", "status": "True", "lastProbeTime": None}


def test_nothing_to_write_when_nothing_changed() -> None:
    status = {"phase": "Running", "conditions": [READY], "podIPs": [{"ip": "10.244.0.2"}]}
    assert difference(status, status) == {}


def test_the_reason_of_a_condition_goes_with_it() -> None:
    patch = difference({"conditions": [UNREADY]}, {"conditions": [READY]})
    assert patch == {"conditions": [{**READY, "reason": None, "message": None}]}


def test_conditions_of_others_are_left_alone() -> None:
    gate = {"type": "example.com/gate", "status": "False"}
    assert difference({"conditions": [gate]}, {"conditions": [{**gate, "status": "True"}]}) == {}


def test_an_address_that_is_gone_is_deleted_from_the_list() -> None:
    patch = difference({"podIPs": [{"ip": "10.244.0.2"}]}, {"podIPs": [{"ip": "10.244.0.3"}]})
    assert patch == {"podIPs": [{"ip": "10.244.0.3"}, {"$patch": "delete", "ip": "10.244.0.2"}]}
