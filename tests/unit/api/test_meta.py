"""Owners and conditions."""

from __future__ import annotations

from wherry.api import meta

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs", "namespace": "shop", "uid": "1"}}


def test_identity() -> None:
    assert meta.key(OWNER) == "shop/rs"
    assert meta.key({"metadata": {"name": "n"}}) == "n"
    assert meta.labels(OWNER) == meta.annotations(OWNER) == {}
    assert not meta.is_deleting(OWNER)


def test_owners() -> None:
    reference = meta.owner_reference(OWNER)
    assert reference["controller"] is reference["blockOwnerDeletion"] is True
    pod = {"metadata": {"name": "p", "ownerReferences": [{"uid": "0"}, reference]}}
    assert meta.controller_of(pod) is reference
    assert meta.is_controlled_by(pod, OWNER)
    assert meta.controller_of({"metadata": {}}) is None
    assert meta.owner_reference(OWNER, controller=False).get("controller") is None


def test_conditions() -> None:
    first = meta.set_condition([], {"type": "Ready", "status": "False"}, "t1")
    same = meta.set_condition(first, {"type": "Ready", "status": "False", "reason": "x"}, "t2")
    changed = meta.set_condition(same, {"type": "Ready", "status": "True"}, "t3")
    assert first == [{"type": "Ready", "status": "False", "lastTransitionTime": "t1"}]
    assert same[0]["lastTransitionTime"] == "t1"
    assert changed == [{"type": "Ready", "status": "True", "lastTransitionTime": "t3"}]
    pod = {"metadata": {}, "status": {"phase": "Running", "conditions": changed}}
    assert meta.is_pod_ready(pod)
    assert meta.is_pod_active(pod)
    assert not meta.is_pod_terminal(pod)
    assert meta.without_condition(changed, "Ready") == []
