"""kubectl of every release at hand against a control plane: the main way, when no node is needed.

The releases that ran are the parameters of the tests; where there is none, they are skipped and say so.
"""

from __future__ import annotations

import json

import pytest
from kubectl_tool import IMAGE, WEB, Kubectl, every_release

pytestmark = pytest.mark.kubectl


@every_release
def test_the_main_way(kubectl: Kubectl) -> None:
    """create, get, apply (what is gone from the file goes), diff, edit, scale, roll out, roll back, wait, delete."""
    assert "deployment.apps/web created" in kubectl("apply", "-f", "-", stdin=WEB)
    kubectl("wait", "--for=jsonpath={.status.observedGeneration}=1", "deployment/web", "--timeout=50s")
    second = WEB.replace(', {name: B, value: "2"}', "").replace(", tier: front", "").replace("nginx:1", "nginx:2")
    second = second.replace(", {name: admin, port: 81}", "")
    diff = kubectl.run("diff", "-f", "-", stdin=second)
    assert diff.returncode == 1, diff.stderr
    assert "-        - name: B" in diff.stdout.replace("-          ", "-        ") or "name: B" in diff.stdout
    kubectl("apply", "-f", "-", stdin=second)
    for status in ("observedGeneration", "updatedReplicas", "unavailableReplicas"):  # diff compares the status, too
        kubectl("wait", f"--for=jsonpath={{.status.{status}}}=2", "deployment/web", "--timeout=50s")
    assert json.loads(kubectl.path("{.spec.template.spec.containers[0].env}", "deploy", "web")) == [
        {"name": "A", "value": "1"}
    ]
    assert json.loads(kubectl.path("{.metadata.labels}", "deploy", "web")) == {"app": "web"}
    assert kubectl.path("{.spec.ports[*].port}", "svc", "web") == "80"
    assert kubectl.run("diff", "-f", "-", stdin=second).returncode == 0
    kubectl("edit", "deployment", "web", KUBE_EDITOR="sed -i s/nginx:2/nginx:3/")
    assert kubectl.path(IMAGE, "deploy", "web") == "nginx:3"
    kubectl("wait", "--for=jsonpath={.status.observedGeneration}=3", "deployment/web", "--timeout=50s")
    assert "nginx:3" in kubectl("rollout", "history", "deployment/web", "--revision=3")
    assert "rolled back" in kubectl("rollout", "undo", "deployment/web", "--to-revision=1")
    assert kubectl.path(IMAGE, "deploy", "web") == "nginx:1"
    assert "scaled" in kubectl("scale", "deployment/web", "--replicas=3")
    kubectl("wait", "--for=jsonpath={.status.replicas}=3", "deployment/web", "--timeout=50s")
    assert "Pod Template:" in kubectl("describe", "deployment", "web")
    assert "image\t<string>" in kubectl("explain", "pod.spec.containers", "--recursive").replace(" <", "\t<")
    assert "deleted" in kubectl("delete", "-f", "-", stdin=second)
    assert kubectl("get", "deploy,svc", "-o", "name") == ""


@every_release
def test_what_the_server_tells(kubectl: Kubectl) -> None:
    assert "gitVersion: v1.36" in kubectl("version", "-o", "yaml")
    resources = kubectl("api-resources", "--cached=false").splitlines()
    assert any(line.split()[:2] == ["deployments", "deploy"] for line in resources)
    assert "apps/v1" in kubectl("api-versions").splitlines()
    assert "control plane" in kubectl("cluster-info")
    assert "*.*" in kubectl("auth", "can-i", "--list")
    assert kubectl.run("auth", "can-i", "create", "pods", "--as=eve").stdout == "no\n"
    # Kubernetes 1.36 no longer serves the alpha and beta versions the first kubectl with `whoami` asks for
    who = kubectl.run("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert who.stdout == "kubernetes-admin" or kubectl.program.endswith((".1.27", ".1.26", ".1.25")), who.stderr
    assert kubectl("get", "--raw", "/readyz") == "ok"
