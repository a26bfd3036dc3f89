"""The effective request of pods."""

from __future__ import annotations

from typing import Any

from wherry.api.types import Obj
from wherry.scheduler.requests import pod_requests


def container(cpu: str = "", memory: str = "", **more: Any) -> Obj:
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    return {"resources": {"requests": requests}, **more}


def requests(containers: list[Obj], init: list[Obj] | None = None, **spec: Any) -> dict[str, int]:
    return pod_requests({"spec": {"containers": containers, "initContainers": init or [], **spec}})


def test_containers_add_up() -> None:
    assert requests([container("100m", "1Gi"), container("1")]) == {"cpu": 1100, "memory": 2**30}


def test_an_init_container_counts_if_it_asks_for_more() -> None:
    assert requests([container("1")], [container("3"), container("500m")]) == {"cpu": 3000}


def test_sidecars_run_beside_everything_after_them() -> None:
    sidecar = container("500m", restartPolicy="Always")
    assert requests([container("1")], [sidecar]) == {"cpu": 1500}
    assert requests([container("1")], [sidecar, container("2")]) == {"cpu": 2500}
    assert requests([container("1")], [container("2"), sidecar]) == {"cpu": 2000}


def test_overhead_and_pod_level_requests() -> None:
    assert requests([container("1")], overhead={"cpu": "250m"}) == {"cpu": 1250}
    assert requests([container("1", "1Gi")], resources={"requests": {"cpu": "4"}}) == {"cpu": 4000, "memory": 2**30}


def test_scoring_assumes_a_little_for_those_who_say_nothing() -> None:
    found = pod_requests({"spec": {"containers": [container(), container("1")]}}, scoring=True)
    assert found == {"cpu": 1100, "memory": 400 * 2**20}
