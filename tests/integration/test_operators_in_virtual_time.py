"""Programs that know nothing of Wherry, tested as its users test them: a kopf operator and the official client's leader
election against `wherry.ControlPlane`, in virtual time."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import wherry
from wherry.api.types import Obj
from wherry.testing import engine
from wherry.testing.authority import authority

pytestmark = pytest.mark.usefixtures("sockets_left")
OPERATOR = """
import kopf
import kubernetes

kubernetes.config.load_kube_config()


@kopf.on.create("example.com", "v1", "backups")
@kopf.on.update("example.com", "v1", "backups")
def make_the_cron_job(name, namespace, spec, body, **_):
    container = {"name": "main", "image": "backup"}
    pod = {"metadata": {"annotations": {"simulation.wherry.dev/run-for": "10m"}},
           "spec": {"restartPolicy": "Never", "containers": [container]}}
    made = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
            "spec": {"schedule": spec["schedule"], "jobTemplate": {"spec": {"template": pod}}}}
    kopf.adopt(made, owner=body)
    kopf.label(made["spec"]["jobTemplate"], {"backup": name})
    api = kubernetes.client.BatchV1Api()
    try:
        api.create_namespaced_cron_job(namespace, made)
    except kubernetes.client.ApiException as error:
        if error.status != 409:
            raise
        api.patch_namespaced_cron_job(name, namespace, made)


@kopf.on.field("jobs", field="status.completionTime", new=kopf.PRESENT, labels={"backup": kopf.PRESENT})
def count(labels, namespace, new, **_):
    api = kubernetes.client.CustomObjectsApi()
    where = ("example.com", "v1", namespace, "backups", labels["backup"])
    done = api.get_namespaced_custom_object(*where).get("status", {}).get("done", 0)
    api.patch_namespaced_custom_object(*where, {"status": {"done": done + 1, "last": new}})
"""
DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: backups.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Backup, plural: backups, singular: backup}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
BACKUP: dict[str, Any] = {
    "apiVersion": "example.com/v1",
    "kind": "Backup",
    "metadata": {"name": "db"},
    "spec": {"schedule": "0 3 * * *"},
}


@pytest.fixture
def cp() -> Iterator[wherry.ControlPlane]:
    with wherry.ControlPlane() as plane, plane.as_default():
        yield plane


def test_a_kopf_operator_through_virtual_days(
    cp: wherry.ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In kopf's documented style: `KopfRunner` runs the operator's file, the test looks at the cluster."""
    testing = pytest.importorskip("kopf.testing", reason="kopf is not installed")
    operator = tmp_path / "operator.py"
    operator.write_text(OPERATOR)
    monkeypatch.setattr(sys, "path", [*sys.path])  # kopf puts the folder of what it runs first, for good
    monkeypatch.setattr(engine, "PATIENCE_SECONDS", 90.0)  # it may start slowly
    cp.apply(DEFINITION)
    with testing.KopfRunner(["run", "--standalone", "-n", "default", str(operator)], timeout=60) as runner:
        cp.apply(BACKUP)
        cp.wait_for("cronjob", "db", "create", timeout="1m")
        for day in range(1, 4):
            cp.clock.advance("1d")
            cp.wait_for("backup", "db", f"jsonpath={{.status.done}}={day}", timeout="1m")
        assert cp.get("backup", "db")["status"]["last"] == "2026-01-03T03:10:00Z"
        cp.patch("backup", "db", {"spec": {"schedule": "0 */6 * * *"}})
        cp.wait_for("cronjob", "db", lambda one: one["spec"]["schedule"] == "0 */6 * * *", timeout="1m")
        cp.delete("backup", "db")
        cp.wait_for("cronjob", "db", "delete", timeout="1m")
    assert runner.exception is None
    assert runner.exit_code == 0, runner.output


class Candidate(threading.Thread):
    """A program that works only while it leads, by the official client's own election on a Lease: its sleeps and its clock are
    the control plane's."""

    def __init__(self, name: str, cp: wherry.ControlPlane) -> None:
        super().__init__(name=name, daemon=True)
        from kubernetes import client
        from kubernetes.leaderelection import electionconfig, leaderelection
        from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

        self.history: list[str] = []
        self.cut_off = False
        lock = LeaseLock("operator", "default", name)
        lock.api_instance = client.CoordinationV1Api(cp.kubernetes_client())
        reach = lock.update
        lock.update = lambda *args: not self.cut_off and reach(*args)
        config = electionconfig.Config(
            lock,
            lease_duration=15,
            renew_deadline=10,
            retry_period=2,
            onstarted_leading=lambda: self.history.append("leads"),
            onstopped_leading=lambda: self.history.append("no longer"),
        )
        self._election = leaderelection.LeaderElection(config)

    def run(self) -> None:
        with suppress(Exception):  # the test is over: nobody lets time pass or answers any more
            self._election.run()


def test_leadership_moves_when_the_leader_is_cut_off(cp: wherry.ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    leaderelection = pytest.importorskip("kubernetes.leaderelection.leaderelection", reason="no official client")
    monkeypatch.setattr(leaderelection, "time", cp.clock)
    first, second = Candidate("first", cp), Candidate("second", cp)

    def holds(who: Candidate) -> Callable[[Obj], bool]:
        return lambda lease: lease["spec"]["holderIdentity"] == who.name

    first.start()
    cp.wait_for("lease", "operator", holds(first), timeout="10s")
    second.start()
    cp.clock.advance("1m")
    assert (first.history, second.history) == (["leads"], [])
    renewed = datetime.fromisoformat(cp.get("lease", "operator")["spec"]["renewTime"])
    assert cp.clock.now - renewed <= timedelta(seconds=2)
    first.cut_off = True
    began = cp.clock.now
    cp.wait_for("lease", "operator", holds(second), timeout="1m")
    assert timedelta(seconds=13) <= cp.clock.now - began <= timedelta(seconds=19)
    assert first.history == ["leads", "no longer"], "it gave up before the other took over"
    cp.clock.run_until(lambda: second.history == ["leads"], limit="10s")


def test_time_stands_still_while_a_request_of_a_client_outside_is_open(cp: wherry.ControlPlane) -> None:
    """Half a request is an open one: it came at this moment, and is answered at this moment however long the rest takes."""
    files = authority().files
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.certificate("admin"), files.key("admin"))
    body = b'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}}'
    head = f"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/json\r\n\r\n"
    address = ("127.0.0.1", int(cp.serve().rpartition(":")[2]))

    async def is_held() -> bool:
        return cp._engine.plane.held  # its own thread changes what this looks at

    with socket.create_connection(address) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as outside:
        outside.sendall(head.encode() + body[:10])
        while not cp._engine.share(is_held()).result():
            threading.Event().wait(0.001)
        began = cp.clock.now
        passing = threading.Thread(target=cp.clock.advance, args=("6h",))
        passing.start()
        passing.join(0.5)
        assert passing.is_alive()
        assert cp.clock.now == began
        outside.sendall(body[10:])
        assert outside.recv(4096).startswith(b"HTTP/1.1 201")
        passing.join(30)
    assert (cp.clock.now - began).total_seconds() == 6 * 3600
    created = datetime.fromisoformat(cp.get("configmap", "late")["metadata"]["creationTimestamp"])
    assert created == began.replace(microsecond=0)
