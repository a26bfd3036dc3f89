"""Wherry in a pod of Wherry: tier proc in the tiers with namespaces; in tier proc it is refused with the reason."""

from __future__ import annotations

import json
import shlex

import pytest
import yaml
from kubectl import Kubectl
from manifests import FOREVER, Obj, container, deployment, pod, service, shell, web
from wherry_system import Tier, WherrySystem, until

STATE, CONFIG = "/tmp/inner", "/tmp/inner-kubeconfig"
ENVIRONMENT = [{"name": "HOME", "value": "/tmp"}, {"name": "KUBECONFIG", "value": CONFIG}]
STARTED_SECONDS = 60


def wherry(tier: Tier, *words: str) -> str:
    """A command line of Wherry for the shell of a pod: the interpreter lies there where it lies on the machine."""
    return shlex.join([tier.python, "-m", "wherry", *words, "--state-dir", STATE])


def test_pods_run_in_a_pod(system: WherrySystem, kubectl: Kubectl) -> None:
    if system.tier.name == "proc":
        pytest.skip("tier proc cannot run inside itself, see the test below")
    up = wherry(system.tier, "up", "--tier", "proc", "--port", "6443")
    probe = {"exec": {"command": ["test", "-e", CONFIG]}, "periodSeconds": 1}
    main = container(shell(f"{up} && exec sleep infinity"), env=ENVIRONMENT, readinessProbe=probe)
    kubectl.apply(pod("outer", main, automountServiceAccountToken=False))  # or kubectl would use the outer namespace
    kubectl.ready("outer", seconds=STARTED_SECONDS)

    def inner(command: str, stdin: str | None = None) -> str:
        return kubectl("exec", "outer", *(["-i"] if stdin else []), "--", "sh", "-c", command, stdin=stdin)

    until(lambda: '"running"' in inner(f"{wherry(system.tier, 'status', '-o', 'json')} || true"), "the inner system")
    account = "kubectl get serviceaccount default --ignore-not-found"
    until(lambda: inner(account), "service account default in it")
    objects: list[Obj] = [deployment("web", web("web"), replicas=2), service("web"), pod("client", container(FOREVER))]
    inner("kubectl apply -f -", yaml.safe_dump_all(objects))
    inner(
        "kubectl rollout status deployment/web --timeout=60s && kubectl wait --for=condition=Ready pod/client --timeout=60s"
    )
    fetched = until(
        lambda: kubectl.run("exec", "outer", "--", "sh", "-c", "kubectl exec client -- curl -sf http://web").stdout,
        "web",
    )
    assert fetched.startswith("web web-")
    assert "web-" not in kubectl("get", "pods")
    assert json.loads(inner(wherry(system.tier, "status", "-o", "json")))["tier"] == "proc"
    inner(wherry(system.tier, "down", "--delete"))
    kubectl("delete", "pod", "outer")


def test_a_second_supervisor_of_system_calls_is_refused(system: WherrySystem, kubectl: Kubectl) -> None:
    if system.tier.name != "proc":
        pytest.skip("about tier proc")
    kubectl.apply(pod("outer", container(FOREVER, env=ENVIRONMENT)))
    kubectl.ready("outer")
    doctor = kubectl.run("exec", "outer", "--", "sh", "-c", wherry(system.tier, "doctor", "-o", "json"))
    report = json.loads(doctor.stdout)
    [proc] = [tier for tier in report["tiers"] if tier["name"] == "proc"]
    assert "no second one can run" in proc["checks"][0]["detail"]
    up = kubectl.run("exec", "outer", "--", "sh", "-c", wherry(system.tier, "up", "--tier", "proc"))
    assert up.returncode != 0
    assert "tier proc cannot be used here" in up.stdout + up.stderr
