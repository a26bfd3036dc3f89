"""`wherry.ControlPlane` as a test uses it: verbs, virtual time, isolation, the same trace for the same seed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wherry
from wherry.aio.clock import RealClock
from wherry.api.errors import StatusError
from wherry.api.types import Obj

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations:
        simulation.wherry.dev/ready-after: 5s
        simulation.wherry.dev/logs: |
          listening
          @1h still here
    spec: {containers: [{name: main, image: nginx}]}
"""
CRON_JOB = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "0 * * * *"
  jobTemplate:
    spec:
      template:
        metadata: {annotations: {simulation.wherry.dev/run-for: 10m}}
        spec: {restartPolicy: Never, containers: [{name: main, image: busybox}]}
"""
CONFIG_MAP: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}


@pytest.fixture
def cp() -> Any:
    with wherry.ControlPlane() as plane:
        yield plane


def test_a_deployment_becomes_available_after_the_time_its_pods_take(cp: wherry.ControlPlane) -> None:
    began = cp.clock.now
    applied = cp.apply(DEPLOYMENT)
    assert applied["metadata"]["namespace"] == "default"
    pods = cp.list("pods", labels="app=web")
    assert len(pods) == 3, "controllers have done what can be done at once"
    assert cp.clock.now == began, "and no time has passed"
    cp.wait_for("deploy", "web", "Available")
    assert 5 <= (cp.clock.now - began).total_seconds() < 6
    reasons = [one["reason"] for one in cp.events("pod", pods[0]["metadata"]["name"])]
    assert reasons == ["Scheduled"]


def test_logs_are_what_the_script_says_by_now(cp: wherry.ControlPlane) -> None:
    cp.apply([CONFIG_MAP])
    cp.apply(DEPLOYMENT)
    cp.wait_for("deployment", "web", "Available")
    name = cp.list("po")[0]["metadata"]["name"]
    assert cp.logs(name) == "listening\n"
    cp.clock.advance("1h")
    assert cp.logs(name) == "listening\nstill here\n"
    cp.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "mute"},
            "spec": {"containers": [{"name": "m", "image": "i"}]},
        }
    )
    with pytest.raises(LookupError, match=r"simulation\.wherry\.dev/logs"):
        cp.logs("mute")


def test_cron_jobs_run_by_the_virtual_clock(cp: wherry.ControlPlane) -> None:
    cp.apply(CRON_JOB)
    cp.clock.advance("6h")
    jobs = cp.list("jobs")
    assert cp.get("cronjob", "tick")["status"]["lastScheduleTime"] == "2026-01-01T06:00:00Z"
    assert len(jobs) == 4, "three that are done are kept, the fourth runs"
    assert cp.clock.run_until(lambda: not cp.get("cj", "tick")["status"].get("active"), limit="1h") is True
    assert cp.clock.now.minute == 10


def test_objects_are_patched_and_deleted_and_belong_to_the_caller(cp: wherry.ControlPlane) -> None:
    cp.apply(CONFIG_MAP)["data"]["a"] = "changed in the test only"
    assert cp.get("configmap", "c")["data"] == {"a": "1"}
    cp.patch("cm", "c", {"data": {"a": "2"}})
    assert cp.get("ConfigMap", "c")["data"] == {"a": "2"}
    cp.delete("configmaps", "c")
    assert cp.wait_for("cm", "c", "delete") is None
    with pytest.raises(StatusError, match='configmaps "c" not found'):
        cp.get("cm", "c")
    with pytest.raises(LookupError, match='no resource "deploymnts"; did you mean "deployments"'):
        cp.list("deploymnts")


def test_waiting_in_vain_says_what_is(cp: wherry.ControlPlane) -> None:
    cp.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p"},
            "spec": {"nodeSelector": {"no": "where"}, "containers": [{"name": "m", "image": "i"}]},
        }
    )
    began = cp.clock.now
    with pytest.raises(TimeoutError, match=r"pod p: not Ready within 30s; it is .*Unschedulable"):
        cp.wait_for("pod", "p", "Ready", timeout="30s")
    assert (cp.clock.now - began).total_seconds() == pytest.approx(30, abs=0.01)


def test_a_node_that_falls_silent_loses_its_pods(cp: wherry.ControlPlane) -> None:
    cp.apply(DEPLOYMENT)
    cp.patch("node", "simulated-0", {"metadata": {"annotations": {"simulation.wherry.dev/heartbeat": "off"}}})
    cp.wait_for("node", "simulated-0", "Ready=Unknown", timeout="2m")


def test_time_that_is_real_cannot_be_moved() -> None:
    with wherry.ControlPlane(virtual_time=False) as plane:
        plane.apply(CONFIG_MAP)
        assert plane.wait_for("cm", "c", "create", timeout="5s")
        with pytest.raises(RuntimeError, match="real time"):
            plane.clock.advance("1h")


def test_control_planes_are_strangers() -> None:
    with wherry.ControlPlane() as one, wherry.ControlPlane() as other:
        one.apply(CONFIG_MAP)
        one.clock.advance("1h")
        assert [each["metadata"]["name"] for each in other.list("cm")] == ["kube-root-ca.crt"]
        assert (one.clock.now - other.clock.now).total_seconds() == 3600


async def test_the_same_methods_can_be_awaited() -> None:
    async with wherry.ControlPlane() as plane:
        await plane.apply(DEPLOYMENT)
        found = await plane.wait_for("deployment", "web", "Available")
        assert found is not None
        assert found["status"]["readyReplicas"] == 3
        await plane.clock.advance("1h")

        async def three() -> bool:
            return len(await plane.list("pods")) == 3

        assert await plane.clock.run_until(three)


async def test_the_client_works_on_any_loop_and_watches() -> None:
    from wherry.api.resources import CONFIG_MAPS

    async with wherry.ControlPlane() as plane:
        found = await plane.client.list(CONFIG_MAPS, "default")
        version = found["metadata"]["resourceVersion"]
        async with plane.client.watch(CONFIG_MAPS, "default", resource_version=version) as events:
            waiting = asyncio.ensure_future(anext(events))
            await plane.apply(CONFIG_MAP)
            event = await waiting
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "c")


def test_the_official_client_reads_what_the_test_wrote(cp: wherry.ControlPlane) -> None:
    import kubernetes

    cp.apply(CONFIG_MAP)
    with cp.kubernetes_client() as api:
        assert kubernetes.client.CoreV1Api(api).read_namespaced_config_map("c", "default").data == {"a": "1"}
    kubeconfig = cp.kubeconfig
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    cp.stop()
    assert not kubeconfig.exists()


def test_a_stopped_control_plane_says_so(cp: wherry.ControlPlane) -> None:
    cp.stop()
    with pytest.raises(Exception, match="the control plane was stopped"):
        cp.list("pods")


TRACE = """
import sys
sys.path.insert(0, {folder!r})
import wherry
from test_control_plane_in_tests import CRON_JOB, DEPLOYMENT
with wherry.ControlPlane(seed={seed}, nodes=3) as cp:
    cp.apply(DEPLOYMENT)
    cp.apply(CRON_JOB)
    cp.clock.advance("3h")
    cp.patch("node", "simulated-1", {{"metadata": {{"annotations": {{"simulation.wherry.dev/heartbeat": "off"}}}}}})
    cp.clock.advance("10m")
    for kind in ("pods", "jobs", "nodes", "replicasets", "endpointslices", "serviceaccounts", "clusterroles", "leases"):
        for one in cp.list(kind, "*"):
            print(kind, one["metadata"]["name"], one["metadata"]["uid"], one["metadata"]["resourceVersion"])
    for one in cp.list("events", "*"):
        print(one["metadata"]["name"], one["metadata"]["uid"], one["reason"], one["message"], one.get("lastTimestamp"))
"""


def _trace(seed: int, hash_seed: str) -> str:
    code = TRACE.format(folder=str(Path(__file__).parent), seed=seed)
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return done.stdout


def test_the_same_seed_gives_the_same_trace_whatever_the_hash_seed() -> None:
    first = _trace(7, "1")
    assert len(first.splitlines()) > 100
    assert _trace(7, "2") == first
    assert _trace(8, "1") != first


def test_a_start_takes_tens_of_milliseconds(record_property: Callable[[str, object], None]) -> None:
    with wherry.ControlPlane():
        pass  # the first pays for imports and certificates
    clock = RealClock()
    began = clock.monotonic()
    with wherry.ControlPlane():
        record_property("another control plane started", f"{(clock.monotonic() - began) * 1000:.0f} ms")
