"""kill -9 of what runs in pods, a service without state and a broker with some, and of what runs them while it starts: the
cells of the matrix of kills that `test_kills.py` leaves."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from clients import Sender, page
from kubectl import Kubectl, needs_kubectl, newest
from manifests import FOREVER, container, deployment, node_port, pod_spec, program, web
from wherry_system import WherrySystem, until

pytestmark = needs_kubectl


def _broker(word: str) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    mount = {"name": "data", "mountPath": "/data"}
    main = container(program("shelf", word), readinessProbe=probe, volumeMounts=[mount])
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    labels = {"app": "broker"}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "broker"},
        "spec": {
            "serviceName": "broker",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec(main)},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        },
    }


def _processes(word: str) -> list[int]:
    """Those of containers that were started with that word."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (each / "cmdline").read_bytes().split(b"\0")
            if word.encode() in arguments and not (each / "task" / each.name / "children").read_text():
                found.append(int(each.name))
        except OSError:  # it has just ended
            continue
    return found


def _kill(word: str, sandbox: bool = False) -> None:
    """One of them, or the first process of its pod."""

    def killed() -> int:
        for pid in _processes(word):
            try:
                parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
                os.kill(parent if sandbox else pid, signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):  # it has just ended by itself
                continue
            return pid
        return 0

    pid = until(killed, "a process of the pod")
    until(lambda: not Path(f"/proc/{pid}").exists(), "it is gone")


@pytest.mark.parametrize("victim", ["web", "broker"])
def test_a_service_and_a_broker(system: WherrySystem, kubectl: Kubectl, victim: str) -> None:
    """While they start, while they serve, during a rollout and while their namespace is deleted."""
    going = kubectl.in_namespace(f"{kubectl.namespace}-pods")
    going("create", "namespace", going.namespace)
    until(lambda: going.run("get", "serviceaccount", "default").returncode == 0, "service account default")
    word = secrets.token_hex(8)
    if victim == "web":
        service = web("web")
        service["command"].append(word)
        going.apply(deployment("web", service, replicas=2), node_port("web"))
    else:
        going.apply(_broker(word), node_port("broker"))
    whole = f"{'deployment' if victim == 'web' else 'statefulset'}/{victim}"
    _kill(word)
    port = going.path_of("{.spec.ports[0].nodePort}", f"service/{victim}")
    with Sender(f"http://127.0.0.1:{port}/") as sender:
        replicas = 2 if victim == "web" else 1
        going.wait(whole, f"jsonpath={{.status.readyReplicas}}={replicas}")
        if victim == "broker":
            sender.sends(5)
        _kill(word, sandbox=True)
        going("rollout", "restart", whole)
        _kill(word)
        going("rollout", "status", whole, "--timeout=60s", timeout=90)
        if victim == "broker":
            sender.sends(5)
    said = until(lambda: page(f"http://127.0.0.1:{port}/"), "it answers").split()
    assert set(sender.kept) <= set(said), "what was acknowledged is kept"
    going("delete", "namespace", going.namespace, "--wait=false")
    for pid in _processes(word)[:1]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: going.run("get", "namespace", going.namespace).returncode != 0, "the namespace is gone", 60)
    until(lambda: not _processes(word), "its processes are gone")


def test_while_the_system_starts(own_system: WherrySystem) -> None:
    """Each process as soon as it runs; `wherry up` comes to its end all the same, and so do the pods of before."""
    own_system.start()
    kubectl = newest(own_system)
    until(lambda: kubectl.run("get", "serviceaccount", "default").returncode == 0)
    kubectl.apply(deployment("web", container(FOREVER)))
    kubectl.wait("deployment/web", "condition=Available")
    for role in ("launcher", "control-plane", "node-agent", "netd"):
        own_system.stop()
        where = ["--name", own_system.name, "--state-dir", str(own_system.state), "--port", str(own_system.port)]
        with subprocess.Popen(
            [own_system.tier.python, "-m", "wherry", "up", *where, "--tier", own_system.tier.name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env=own_system.environment(),
            **own_system.tier.run_as(),
        ) as up:
            killed = own_system.kill(role)
            said, _ = up.communicate(timeout=90)
        assert up.returncode == 0, f"{role}: {said}{own_system.logs()}"
        own_system.back(role, killed)
        until(lambda: own_system.status()["state"] == "running", "whole again")
        kubectl("rollout", "status", "deployment/web", "--timeout=60s", timeout=90)
        until(lambda: kubectl.run("exec", "deployment/web", "--", "true").returncode == 0, f"the pod runs after {role}")
