from __future__ import annotations

from typing import Any

import pytest

from wherry.apiserver.registry.deletion import is_free, plan

NOW = 1_700_000_000.0


def obj(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x", **metadata}}


def decide(
    value: dict[str, Any], grace: int | None = None, held: bool = False, orphan: bool = False, **options: Any
) -> Any:
    return plan(value, options, grace, NOW, held, orphan)


def test_nothing_holds_it() -> None:
    assert decide(obj()).action == "remove"


def test_a_finalizer_holds_it() -> None:
    found = decide(obj(finalizers=["a/b"], generation=3))
    assert found.action == "mark"
    assert found.first
    assert found.metadata["deletionGracePeriodSeconds"] == 0
    assert found.metadata["deletionTimestamp"] == "2023-11-14T22:13:20Z"
    assert found.metadata["generation"] == 4


def test_marked_already() -> None:
    marked = decide(obj(finalizers=["a/b"])).metadata
    assert decide({"metadata": marked}).action == "keep"


@pytest.mark.parametrize(
    ("policy", "had", "has"),
    [
        ("Foreground", [], ["foregroundDeletion"]),
        ("Foreground", ["a/b"], ["a/b", "foregroundDeletion"]),
        ("Orphan", ["a/b"], ["a/b", "orphan"]),
        ("Orphan", ["foregroundDeletion"], ["orphan"]),
        ("Background", ["orphan", "a/b"], ["a/b"]),
        (None, ["orphan"], ["orphan"]),
    ],
)
def test_propagation_is_a_finalizer(policy: str | None, had: list[str], has: list[str]) -> None:
    options = {} if policy is None else {"propagationPolicy": policy}
    assert decide(obj(finalizers=had), **options).metadata["finalizers"] == has


def test_the_old_way_to_say_it() -> None:
    assert decide(obj(), orphanDependents=True).metadata["finalizers"] == ["orphan"]
    assert decide(obj(), orphan=True, orphanDependents=False).action == "remove"
    assert decide(obj(), orphan=True).metadata["finalizers"] == ["orphan"]


def test_a_running_pod_gets_its_grace() -> None:
    found = decide(obj(), grace=30)
    assert found.action == "mark"
    assert found.metadata["deletionGracePeriodSeconds"] == 30
    assert found.metadata["deletionTimestamp"] == "2023-11-14T22:13:50Z"


def test_grace_is_only_cut_short_and_only_when_asked() -> None:
    pod = {"metadata": decide(obj(), grace=60).metadata}
    assert decide(pod, grace=30).action == "keep"
    assert decide(pod, grace=90, gracePeriodSeconds=90).action == "keep"
    shorter = decide(pod, grace=5, gracePeriodSeconds=5)
    assert shorter.action == "mark"
    assert not shorter.first
    assert shorter.metadata["deletionGracePeriodSeconds"] == 5
    assert decide(pod, grace=0, gracePeriodSeconds=0).action == "remove"


def test_a_namespace_is_held_by_its_contents() -> None:
    found = decide(obj(), held=True)
    assert found.action == "mark"
    assert "deletionGracePeriodSeconds" not in found.metadata


def test_is_free() -> None:
    marked = {"deletionTimestamp": "2023-11-14T22:13:20Z"}
    assert is_free(obj(**marked), held=False)
    assert not is_free(obj(**marked), held=True)
    assert not is_free(obj(**marked, finalizers=["a/b"]), held=False)
    assert not is_free(obj(**marked, deletionGracePeriodSeconds=30), held=False)
    assert not is_free(obj(), held=False)
