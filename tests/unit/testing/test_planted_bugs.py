"""Bugs planted into parts of the control plane, each of which the simulation must find within a few seeds."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.apiserver.admission.resource_quota import ResourceQuota
from wherry.apiserver.handlers import eviction, pod_binding
from wherry.apiserver.registry.generic import Registry
from wherry.controllers.deployment.sizes import Bounds
from wherry.controllers.garbage_collector.reconciler import GarbageCollector
from wherry.reconcile.expectations import Expectations
from wherry.storage.interface import Change
from wherry.storage.watch import BucketWatch
from wherry.testing.simulation.disk import Disk
from wherry.testing.simulation.generate import generate
from wherry.testing.simulation.simulation import run
from wherry.testing.simulation.themes import seeds_of
from wherry.testing.simulation.world import Seams

SEEDS_MAX = 40


def is_found(theme: str, *rules: str, seams: Seams | None = None) -> bool:
    """Whether a seed about that theme breaks one of these rules; a planted bug may break others first."""
    return any(run(generate(seed), seams).rules & {*rules} for seed in seeds_of(theme, SEEDS_MAX))


class HastyDisk(Disk):
    """Says that everything is on the disk as soon as it was written."""

    def sync(self) -> None:
        if len(self.unsynced) > 20:
            super().sync()


def test_an_acknowledgement_before_the_fsync_is_found() -> None:
    assert is_found("storage", "acknowledged", "watch", "list", "revisions", seams=Seams(disk=HastyDisk))


def test_a_lost_update_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registry, "_check_versions", lambda self, entry, metadata: None)
    assert is_found("storage", "lost update")


def test_a_pod_bound_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    careful = pod_binding._bound

    def careless(core: Any, pod: Any, node: str, binding: Any) -> Any:
        spec = {key: value for key, value in pod["spec"].items() if key != "nodeName"}
        return careful(core, {**pod, "spec": spec}, node, binding)

    monkeypatch.setattr(pod_binding, "_bound", careless)
    assert is_found("scheduling", "bound twice")


def test_garbage_collected_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def believes_its_picture(self: Any, ref: Any, node: Any) -> str:
        known = self._graph.get(ref["uid"])
        return "absent" if known is None else "waiting" if known.in_foreground else "solid"

    monkeypatch.setattr(GarbageCollector, "_state", believes_its_picture)
    assert is_found("garbage", "early garbage collection")


def test_scaling_up_by_an_old_picture_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Expectations, "satisfied", lambda self, key: True)
    assert is_found("rollouts", "too many pods")


def test_evictions_that_ask_no_budget_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def grants_all(core: Any, call: Any, name: str, dry_run: bool) -> None:
        return None

    monkeypatch.setattr(eviction, "_take", grants_all)
    assert is_found("rollouts", "disruption budget")


def test_a_rollout_that_leaves_nothing_available_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bounds, "available_min", property(lambda self: 0))
    assert is_found("rollouts", "maxUnavailable")


def test_a_quota_that_does_not_count_what_is_under_way_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ResourceQuota, "_announce", lambda self, request, *draft: None)
    assert is_found("quotas", "quota exceeded")


def test_a_watch_that_leaves_out_an_event_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = BucketWatch._next_ready

    def forgetful(self: BucketWatch) -> Change | None:
        change = whole(self)
        return whole(self) if change is not None and change.revision % 97 == 0 else change

    monkeypatch.setattr(BucketWatch, "_next_ready", forgetful)
    assert is_found("everything", "acknowledged")
