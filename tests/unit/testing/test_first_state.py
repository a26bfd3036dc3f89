"""What control planes of one process share at their start, and what they must not."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from pathlib import Path

import wherry
from wherry.api.types import Obj
from wherry.testing.authority import authority

CONFIG_MAP: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}


def _everything(cp: wherry.ControlPlane) -> list[tuple[str, str, str, str]]:
    kinds = ("clusterroles", "flowschemas", "services", "nodes", "serviceaccounts", "leases", "configmaps", "events")
    return [
        (kind, one["metadata"]["name"], one["metadata"]["uid"], one["metadata"]["resourceVersion"])
        for kind in kinds
        for one in cp.list(kind, "*")
    ]


def test_roles_and_classes_are_made_once_per_process_and_nobody_can_tell() -> None:
    start = "2031-02-03T04:05:06Z"  # of this test alone, so that the first makes them and the second finds them
    with wherry.ControlPlane(start=start, seed=3) as made:
        first = _everything(made)
        role = made._engine.plane.storage.get("/registry/rbac.authorization.k8s.io/clusterroles/-/cluster-admin")
        assert role is not None
        assert role.value["metadata"]["creationTimestamp"] == start
        made.delete("clusterrole", "cluster-admin")
    with wherry.ControlPlane(start=start, seed=3) as found:
        key = "/registry/rbac.authorization.k8s.io/clusterroles/-/cluster-admin"
        assert found._engine.plane.storage.get(key) is role
        assert _everything(found) == first
    with wherry.ControlPlane(start="2031-02-03T04:05:07Z", seed=3) as later:
        role = later._engine.plane.storage.get(key)
        assert role is not None
        assert role.value["metadata"]["creationTimestamp"] == "2031-02-03T04:05:07Z"


def test_the_service_of_the_api_has_its_address_in_every_control_plane() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    for _ in range(2):
        with wherry.ControlPlane() as cp:
            assert cp.get("service", "kubernetes")["spec"]["clusterIP"] == "10.96.0.1"
            assert cp.apply(service)["spec"]["clusterIP"] not in ("", "10.96.0.1")


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_control_plane_that_was_stopped_leaves_nothing_behind() -> None:
    with wherry.ControlPlane():
        pass  # what a process keeps is made by the first
    folder = authority().files.directory

    def used() -> weakref.ref[object]:
        with wherry.ControlPlane() as cp:
            cp.apply(CONFIG_MAP)
            assert cp.kubeconfig.exists()
            return weakref.ref(cp._engine.plane)

    threads, open_files, files = threading.active_count(), _open_files(), sorted(folder.iterdir())
    left = [used() for _ in range(3)]
    gc.collect()
    assert threading.active_count() <= threads, "fewer when something of an earlier test ends meanwhile"
    assert _open_files() <= open_files
    assert sorted(folder.iterdir()) == files
    assert [each() for each in left] == [None] * 3, "and its memory is free"


def test_a_test_that_is_over_keeps_no_control_plane(tmp_path: Path) -> None:
    """What belongs to tests lives as long as pytest's run, a control plane as long as its test."""
    import pytest

    from wherry.testing import plugin

    seen: list[weakref.ref[object]] = []

    class Watching:
        @pytest.hookimpl(trylast=True)
        def pytest_runtest_teardown(self, item: pytest.Item) -> None:
            seen.append(weakref.ref(item.funcargs["control_plane"]))  # type: ignore[attr-defined]

        def pytest_sessionfinish(self, session: pytest.Session) -> None:
            gc.collect()
            assert [each() for each in seen] == [None, None]
            assert [item.stash.get(plugin._CLUSTERS, []) for item in session.items] == [[], []]
            seen.append(weakref.ref(session))

    file = tmp_path / "test_two.py"
    file.write_text("def test_one(control_plane): pass\n\ndef test_other(control_plane): pass\n")
    arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:asyncio", "--rootdir", str(tmp_path)]
    assert pytest.main([*arguments, str(file)], plugins=[Watching()]) == 0
    assert len(seen) == 3
