"""`kubectl apply --server-side` and `diff --server-side`, of every release at hand: the way of a team with two tools."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from control_plane_process import ControlPlane
from kubectl_tool import IMAGE, Kubectl, every_release
from kubectl_tool import WEB as RUNNING

from wherry.api import yaml
from wherry.api.scheme import Scheme
from wherry.cli.apply import apply
from wherry.client.http import HttpTransport
from wherry.client.rest import Client

pytestmark = pytest.mark.kubectl
WEB = RUNNING.replace("replicas: 2", "replicas: 2\n  paused: true")
"""While its controller rolls a Deployment out it writes every few milliseconds; kubectl tries five times to take fields over."""
SECOND = WEB.replace(', {name: B, value: "2"}', "").replace(", tier: front", "").replace("nginx:1", "nginx:2")


def managers(kubectl: Kubectl, *what: str) -> set[tuple[str, str]]:
    said = kubectl("get", *what, "-o", "json", "--show-managed-fields")
    return {(each["manager"], each["operation"]) for each in json.loads(said)["metadata"]["managedFields"]}


@every_release
def test_the_way_of_two_appliers(kubectl: Kubectl) -> None:
    side = ("apply", "--server-side", "-f", "-")
    assert "deployment.apps/web serverside-applied" in kubectl(*side, stdin=WEB)
    assert ("kubectl", "Apply") in managers(kubectl, "deploy", "web")
    diff = kubectl.run("diff", "--server-side", "-f", "-", stdin=SECOND)
    assert diff.returncode == 1, diff.stderr
    assert "+        image: nginx:2" in diff.stdout.replace("+      - image", "+        image")
    kubectl(*side, stdin=SECOND)
    kubectl(
        "wait", "--for=jsonpath={.status.observedGeneration}=2", "deployment/web", "--timeout=50s"
    )  # diff compares it
    env = kubectl.path("{.spec.template.spec.containers[0].env}", "deploy", "web")
    assert json.loads(env) == [{"name": "A", "value": "1"}], "what is gone from the file goes"
    assert kubectl.run("diff", "--server-side", "-f", "-", stdin=SECOND).returncode == 0
    refused = kubectl.run(*side, "--field-manager=other", stdin=WEB)
    assert refused.returncode == 1
    assert 'conflict with "kubectl": .spec.template.spec.containers[name="c"].image' in refused.stderr
    kubectl(*side, "--field-manager=other", "--force-conflicts", stdin=WEB)
    assert kubectl.path(IMAGE, "deploy", "web") == "nginx:1"
    assert {("kubectl", "Apply"), ("other", "Apply")} <= managers(kubectl, "deploy", "web")
    kubectl("scale", "deployment/web", "--replicas=3")
    conflict = kubectl.run(*side, "--field-manager=other", stdin=WEB)
    assert 'with subresource "scale" using apps/v1: .spec.replicas' in conflict.stderr


@every_release
def test_from_the_client_s_side_to_the_server_s(kubectl: Kubectl) -> None:
    """What `kubectl apply` did before is kubectl's own: no conflict, and what is left out goes."""
    kubectl("apply", "-f", "-", stdin=WEB)
    assert ("kubectl-client-side-apply", "Update") in managers(kubectl, "deploy", "web")
    kubectl("apply", "--server-side", "-f", "-", stdin=SECOND)
    assert kubectl.path(IMAGE, "deploy", "web") == "nginx:2"
    last = kubectl("apply", "view-last-applied", "deployment/web", "-o", "json")
    assert json.loads(last)["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"
    assert "configured" in kubectl("apply", "-f", "-", stdin=WEB)
    assert kubectl.path(IMAGE, "deploy", "web") == "nginx:1"


@every_release
def test_what_wherry_applied_is_kubectl_s_too(kubectl: Kubectl, plane: ControlPlane) -> None:
    objects: list[dict[str, Any]] = yaml.load_all(WEB)

    async def up() -> None:
        pki = plane.state.pki
        transport = HttpTransport(plane.url, ca=pki / "ca.crt", certificate=pki / "admin.crt", key=pki / "admin.key")
        try:
            for obj in objects:
                await apply(Client(transport), Scheme.load(), obj, kubectl.namespace)
        finally:
            await transport.close()

    asyncio.run(up())
    kubectl("apply", "--server-side", "-f", "-", stdin=SECOND)
    env = json.loads(kubectl.path("{.spec.template.spec.containers[0].env}", "deploy", "web"))
    assert env == [{"name": "A", "value": "1"}], "kubectl took over what wherry had applied, and gave it up"
    assert kubectl.path(IMAGE, "deploy", "web") == "nginx:2"
    asyncio.run(up())
    assert kubectl.path(IMAGE, "deploy", "web") == "nginx:1"
