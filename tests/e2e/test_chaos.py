"""Faults made on purpose on a running system: each does what it says, is listed, and ends with whoever wanted it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from wherry_system import PATIENCE, until

from wherry.api.errors import StatusError
from wherry.chaos.faults import LEASE_SECONDS
from wherry.testing.system import System, unavailable

PRETENDED = "simulated-0"
ASK = """
import socket, time
while True:
    try:
        socket.getaddrinfo("kubernetes.default.svc.cluster.local", 443)
        print("yes", flush=True)
    except OSError as error:
        print("no", error.errno, flush=True)
    time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def broken() -> Iterator[System]:
    if reason := unavailable():
        pytest.skip(reason)
    with System("--simulated-nodes", "1") as system:
        system.wait_for("node", PRETENDED, "Ready", timeout="60s")
        system.patch("node", PRETENDED, {"spec": {"unschedulable": True}})
        yield system


def real_node(system: System) -> str:
    (name,) = [one["metadata"]["name"] for one in system.list("nodes") if one["metadata"]["name"] != PRETENDED]
    return name


@contextmanager
def chaos(system: System, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`wherry chaos ...`, once it says that it is at work; asked to end after the block."""
    where = ["--state-dir", str(system.folder / "state")]
    command = [sys.executable, "-u", "-m", "wherry", "chaos", arguments[0], *where, *arguments[1:]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline()
        yield run
        run.terminate()
        assert run.wait() in (0, -signal.SIGKILL)


def listed(system: System) -> str:
    command = [sys.executable, "-m", "wherry", "chaos", "list", "--state-dir", str(system.folder / "state")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def refused(call: Callable[[], Any]) -> int:
    """The code with which the API refuses, 0 when it does not."""
    try:
        call()
    except StatusError as error:
        return error.code
    return 0


def create(system: System) -> Any:
    return system.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "c-"}}])


def test_api_verbs_fail_as_long_as_the_command_runs(broken: System) -> None:
    fail = ("api", "--fail", "429", "--verb", "create", "--resource", "configmaps", "--for", "1m")
    with chaos(broken, *fail) as run:
        until(lambda: refused(lambda: create(broken)) == 429, "creates fail")
        assert "verb=create resource=configmaps fail=429" in listed(broken)
        assert refused(lambda: broken.list("configmaps")) == 0
        run.send_signal(signal.SIGINT)
        run.wait()
        until(lambda: refused(lambda: create(broken)) == 0, "and no longer")
    assert listed(broken) == ""


def test_a_fault_ends_although_the_command_was_killed(broken: System) -> None:
    with chaos(broken, "api", "--fail", "500", "--resource", "secrets", "--for", "1h") as run:
        until(lambda: refused(lambda: broken.list("secrets")) == 500, "lists fail")
        run.kill()
        run.wait()
        until(lambda: refused(lambda: broken.list("secrets")) == 0, "its lease has run out", LEASE_SECONDS + PATIENCE)
        assert listed(broken) == ""


def test_a_fault_ends_in_time(broken: System) -> None:
    with chaos(broken, "api", "--delay", "1ms", "--for", "1s") as run:
        assert run.wait(PATIENCE) == 0
    assert listed(broken) == ""


def test_names_do_not_resolve(broken: System) -> None:
    container = {"name": "main", "image": "wherry.dev/host", "command": [sys.executable, "-c", ASK]}
    broken.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asks"}, "spec": {"containers": [container]}})
    broken.wait_for("pod", "asks", timeout="60s")

    def last() -> str:
        lines = broken.logs("asks").split("\n")
        return lines[-2] if len(lines) > 1 else ""

    until(lambda: last() == "yes", "the name resolves")
    with broken.chaos.dns("kubernetes.default.*", answer="NXDOMAIN"):
        until(lambda: last().startswith("no"), "the name does not resolve")
    until(lambda: last() == "yes", "it resolves again")
    broken.delete("pod", "asks", grace_seconds=0)


def pod(name: str, mebibytes: int = 1, **spec: Any) -> dict[str, Any]:
    program = f"kept = b'x' * ({mebibytes} << 20); print('up', flush=True); import time; time.sleep(1000)"
    container = {"name": "main", "image": "wherry.dev/host", "command": [sys.executable, "-c", program]}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def test_a_node_that_lacks_memory_evicts_until_there_is_enough(broken: System) -> None:
    node = real_node(broken)
    pods = {"large": 60, "small": 1, "critical": 90}
    for name, size in pods.items():
        more = {"priorityClassName": "system-node-critical"} if name == "critical" else {}
        broken.apply(pod(name, size, **more))
    for name in pods:
        broken.wait_for("pod", name, timeout="60s")
        until(lambda name=name: "up" in broken.logs(name), f"{name} has its memory")  # type: ignore[misc]
    with broken.chaos.pressure("memory", node=node, available="70Mi"):
        broken.wait_for("node", node, "MemoryPressure", timeout="60s")
        large = broken.wait_for("pod", "large", lambda one: one["status"].get("reason") == "Evicted", "60s")
        assert large["status"]["phase"] == "Failed"
        low = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 70Mi. Container main was using "
        assert large["status"]["message"].startswith(low)
        taint = "node.kubernetes.io/memory-pressure"
        broken.wait_for(
            "node", node, lambda one: taint in [each["key"] for each in one["spec"].get("taints", ())], "60s"
        )
        broken.apply(pod("late", nodeName=node))
        late = broken.wait_for("pod", "late", lambda one: one["status"]["phase"] == "Failed", "60s")
        assert late["status"]["message"] == "Pod was rejected: The node had condition: [MemoryPressure]. "
    broken.wait_for("node", node, "MemoryPressure=False", timeout="60s")
    phases = {one["metadata"]["name"]: one["status"]["phase"] for one in broken.list("pods")}
    assert {name: phases[name] for name in pods} == {"large": "Failed", "small": "Running", "critical": "Running"}
    for name in (*pods, "late"):
        broken.delete("pod", name, grace_seconds=0)


def test_writes_fail_while_the_storages_disk_is_full_and_none_is_lost(broken: System) -> None:
    kept = [create(broken) for _ in range(3)]
    with chaos(broken, "disk", "storage", "--for", "1m") as run:
        until(lambda: refused(lambda: create(broken)) == 500, "nothing can be written")
        assert "of=storage" in listed(broken)
        known = {one["metadata"]["name"] for one in broken.list("configmaps")}
        run.send_signal(signal.SIGINT)
        run.wait()
    until(lambda: refused(lambda: create(broken)) == 0, "and again it can")
    with broken.chaos.disk():
        until(lambda: refused(lambda: create(broken)) == 500, "nor from a test")
    until(lambda: refused(lambda: create(broken)) == 0, "again it can")
    assert {one["metadata"]["name"] for one in kept} <= known


def test_a_disk_that_others_use_too_is_not_filled(broken: System) -> None:
    where = ["--state-dir", str(broken.folder / "state")]
    command = [sys.executable, "-m", "wherry", "chaos", "disk", *where, "filesystem"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search("too, so everything on this machine would fail|more than half would go", done.stderr), done.stderr


def test_nodes_that_are_cut_off_are_missed_and_their_pods_go_on(broken: System) -> None:
    """A real one and one that pretends."""
    node = real_node(broken)
    broken.apply(pod("goes-on"))
    broken.wait_for("pod", "goes-on", "Ready", timeout="60s")
    before = container_id(broken, "goes-on")
    with chaos(broken, "node", node, "--for", "5m"), chaos(broken, "node", PRETENDED, "--for", "5m"):
        for name in (node, PRETENDED):
            broken.wait_for("node", name, "Ready=Unknown", timeout="90s")
    for name in (node, PRETENDED):
        broken.wait_for("node", name, "Ready", timeout="60s")
    broken.wait_for("pod", "goes-on", "Ready", timeout="60s")
    assert container_id(broken, "goes-on") == before
    broken.delete("pod", "goes-on", grace_seconds=0)


def container_id(system: System, name: str) -> str:
    found: str = system.get("pod", name)["status"]["containerStatuses"][0]["containerID"]
    return found


def test_a_node_that_is_not_there_is_not_cut_off(broken: System) -> None:
    where = ["--state-dir", str(broken.folder / "state")]
    command = [sys.executable, "-m", "wherry", "chaos", "node", *where, "none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, 'wherry: nodes "none" not found\n')


def test_processes_are_killed_and_come_back(broken: System) -> None:
    before = int((broken.folder / "state" / "run" / "ready").read_text())
    with chaos(broken, "processes", "control-plane", "--for", "1s", "--every", "1m") as run:
        run.wait(PATIENCE)
    until(lambda: not os.path.exists(f"/proc/{before}"), "it was killed")
    until(lambda: (broken.folder / "state" / "run" / "ready").exists(), "another has started")
    until(lambda: not _fails(lambda: broken.list("nodes")), "and answers")


def _fails(call: Callable[[], Any]) -> bool:
    try:
        call()
    except (OSError, StatusError):
        return True
    return False


def test_pods_are_killed_by_selector(broken: System) -> None:
    container = {"name": "main", "image": "wherry.dev/host", "command": ["sleep", "1000"]}
    labels = {"app": "victim"}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}}
    spec["template"] = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    broken.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "victim"}, "spec": spec})
    broken.wait_for("deployment", "victim", "Available", timeout="60s")
    (before,) = [one["metadata"]["name"] for one in broken.list("pods", labels="app=victim")]
    with chaos(broken, "pods", "-l", "app=victim", "--for", "1s", "--every", "1m") as run:
        run.wait(PATIENCE)

    def replaced() -> bool:
        names = [one["metadata"]["name"] for one in broken.list("pods", labels="app=victim")]
        return len(names) == 1 and names != [before]

    until(replaced, "another pod has taken its place")
    broken.delete("deployment", "victim")
