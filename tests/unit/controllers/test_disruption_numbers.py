"""How many pods a budget wants healthy, and how many may go."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.controllers.pod_disruption_budget.plan import Need, failed, look, need

NOW = 1_700_000_000.0


def a_budget(status: Obj | None = None, **spec: Any) -> Obj:
    return {"metadata": {"name": "b", "namespace": "d", "generation": 3}, "spec": spec, "status": status or {}}


def a_pod(name: str, *, ready: bool = True, going: bool = False) -> Obj:
    metadata: Obj = {"name": name} | ({"deletionTimestamp": rfc3339(NOW)} if going else {})
    return {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": str(ready)}]}}


@pytest.mark.parametrize(
    ("spec", "pods", "scale", "wanted"),
    [
        ({"minAvailable": 2}, 3, 0, Need(3, 2)),
        ({"minAvailable": "50%"}, 2, 7, Need(7, 4)),
        ({"maxUnavailable": 1}, 2, 7, Need(7, 6)),
        ({"maxUnavailable": "30%"}, 2, 7, Need(7, 4)),  # 2.1, rounded up
        ({"maxUnavailable": 9}, 2, 7, Need(7, 0)),
        ({}, 2, 7, Need(0, 0)),
    ],
)
def test_what_is_needed(spec: Obj, pods: int, scale: int, wanted: Need) -> None:
    assert need(a_budget(**spec), pods, scale) == wanted


def test_pods_that_go_are_sick_or_announced_are_not_healthy() -> None:
    announced = {"c": rfc3339(NOW - 10), "d": rfc3339(NOW - 10), "gone": rfc3339(NOW), "late": rfc3339(NOW - 121)}
    pods = [a_pod("a"), a_pod("b", ready=False), a_pod("c"), a_pod("d", going=True), a_pod("late")]
    found = look(a_budget({"disruptedPods": announced}), pods, Need(5, 1), NOW)
    assert (found.status["currentHealthy"], found.status["disruptionsAllowed"]) == (2, 1)
    assert list(found.status["disruptedPods"]) == ["c"]
    assert [pod["metadata"]["name"] for pod in found.not_deleted] == ["late"]
    assert found.look_again == pytest.approx(110.5)


def test_nothing_may_go_while_nothing_is_expected_or_known() -> None:
    assert look(a_budget(), [a_pod("a")], Need(0, 0), NOW).status["disruptionsAllowed"] == 0
    before = look(a_budget(), [a_pod("a"), a_pod("b")], Need(2, 1), NOW).status
    after = failed(a_budget(before), "why", NOW + 60)
    assert (after["disruptionsAllowed"], after["currentHealthy"]) == (0, 2)
    (condition,) = after["conditions"]
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "SyncFailed", "why")
    assert condition["lastTransitionTime"] == rfc3339(NOW + 60)
