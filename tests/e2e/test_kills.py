"""kill -9 of every process of a running system: what runs goes on, what was acknowledged is there, all comes back."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from clients import Stream, Talk, Visitor, Writer, request, tls
from kubectl import Kubectl, Running, needs_kubectl, newest
from manifests import FOREVER, container, deployment, node_port, pod, program, reaching, web
from wherry_system import WherrySystem, until

pytestmark = needs_kubectl
Measured = Callable[[str, float], None]


@dataclass
class Shop:
    """Two pods behind a NodePort, a pod that asks them all the time, and an echo server behind another NodePort."""

    kubectl: Kubectl
    url: str
    echo_port: int
    traffic: Running

    def total(self) -> str:
        """What the asking pod counted."""
        self.kubectl("delete", "pod", "traffic", "--wait=false")
        return self.traffic.line("^total")

    def answers(self) -> bool:
        with Visitor(self.url) as visitor:
            visitor.visits(1)
        return not visitor.failures


@pytest.fixture
def shop(kubectl: Kubectl) -> Iterator[Shop]:
    echo = container(program("echo"), readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1})
    kubectl.apply(
        deployment("web", web("web"), replicas=2), node_port("web"), deployment("echo", echo), node_port("echo")
    )
    kubectl.wait("deployment/web", "jsonpath={.status.readyReplicas}=2")
    kubectl.wait("deployment/echo", "condition=Available")
    port = kubectl.path_of("{.spec.ports[0].nodePort}", "service/web")
    echo_port = int(kubectl.path_of("{.spec.ports[0].nodePort}", "service/echo"))
    asking, reached = container(program("traffic", "http://web/")), reaching("http://web/")
    kubectl.apply(pod("traffic", asking, initContainers=[reached], terminationGracePeriodSeconds=20))
    kubectl.ready("traffic")
    with kubectl.start("logs", "-f", "traffic") as traffic:
        traffic.line("began")
        shop = Shop(kubectl, f"http://127.0.0.1:{port}/", echo_port, traffic)
        until(shop.answers, "the shop")
        yield shop


def _api_answers(system: WherrySystem) -> Callable[[], bool]:
    context = tls(system)

    def answers() -> bool:
        try:
            return request(system, context, "GET", "/readyz", timeout=5)[0] == 200
        except OSError:
            return False

    return answers


def _all_there(kubectl: Kubectl, writer: Writer) -> None:
    present = set(kubectl("get", "configmaps", "-o", "name").split())
    lost = [name for name in writer.acknowledged if f"configmap/{name}" not in present]
    assert not lost, f"{len(lost)} of {len(writer.acknowledged)} acknowledged writes are lost: {lost[:5]}"


ROLES = [["control-plane"], ["node-agent"], ["control-plane", "node-agent"]]


@pytest.mark.parametrize("roles", ROLES, ids="+".join)
def test_control_plane_and_agent(system: WherrySystem, shop: Shop, roles: list[str], measured: Measured) -> None:
    kubectl, api_answers = shop.kubectl, _api_answers(system)
    uids = kubectl.path_of("{.items[*].metadata.uid}", "pods")
    talk = Talk(shop.echo_port)
    with Visitor(shop.url) as visitor, Writer(system, kubectl.namespace) as writer:
        visitor.visits(5)
        writer.writes(5)
        killed = {role: system.kill(role) for role in roles}
        at = time.monotonic()
        for role, pid in killed.items():
            system.back(role, pid)
            measured(f"{role} runs again", time.monotonic() - at)
        until(api_answers, "the API")
        measured("the API answers", time.monotonic() - at)
        writer.writes(5)
        measured("5 more writes are acknowledged", time.monotonic() - at)
        visitor.visits(5)
        kubectl("run", "after", "--image=wherry.dev/host:v1", "--restart=Never", "--command", "--", *FOREVER)
        kubectl.ready("after")
        measured("a new pod is ready", time.monotonic() - at)
        visitor.visits(5)
    measured("slowest request through the node port", visitor.slowest)
    talk.say("still here")
    talk.close()
    assert visitor.failures == []
    _all_there(kubectl, writer)
    assert kubectl.path_of("{.items[*].metadata.uid}", "pods", "-l", "app!=,run!=after") == uids
    counts = kubectl.path_of("{.items[*].status.containerStatuses[*].restartCount}", "pods")
    assert set(counts.split()) == {"0"}
    kubectl("scale", "deployment/web", "--replicas=3")
    kubectl.wait("deployment/web", "jsonpath={.status.readyReplicas}=3")
    with kubectl.start("logs", "-f", "traffic") as logs:
        logs.line("began")
        kubectl("delete", "pod", "traffic", "--wait=false")
        said = logs.line("^total")
    assert re.fullmatch(r"total \d+ failed 0", said), logs.lines


def test_control_plane_again_and_again(system: WherrySystem, kubectl: Kubectl) -> None:
    """While it writes, and while it makes pods."""
    kubectl.apply(deployment("web", container(FOREVER), replicas=3))
    with Writer(system, kubectl.namespace) as writer:
        for _ in range(4):
            writer.writes(3)
            system.back("control-plane", system.kill("control-plane"))
        writer.writes(3)
    _all_there(kubectl, writer)
    kubectl.wait("deployment/web", "jsonpath={.status.readyReplicas}=3")


def test_agent_while_it_starts_and_ends_pods(system: WherrySystem, kubectl: Kubectl) -> None:
    kubectl.apply(deployment("web", container(FOREVER), replicas=6))
    until(lambda: kubectl.json("pods", "-l", "app=web")["items"], "the first pod")
    system.back("node-agent", system.kill("node-agent"))
    kubectl.wait("deployment/web", "jsonpath={.status.readyReplicas}=6")
    kubectl("rollout", "restart", "deployment/web")
    kubectl("delete", "pods", "-l", "app=web", "--wait=false")
    system.back("node-agent", system.kill("node-agent"))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s", timeout=90)
    until(lambda: len(kubectl.json("pods", "-l", "app=web")["items"]) == 6, "six pods and no more")


@pytest.mark.parametrize("role", ["control-plane", "node-agent", "launcher"])
def test_while_a_rollout_and_a_namespace_deletion_go_on(system: WherrySystem, kubectl: Kubectl, role: str) -> None:
    going = kubectl.in_namespace(f"{kubectl.namespace}-going")
    going("create", "namespace", going.namespace)
    until(lambda: going.run("get", "serviceaccount", "default").returncode == 0, "service account default")
    for each in (kubectl, going):
        each.apply(deployment("web", container(FOREVER), replicas=3))
        each.wait("deployment/web", "jsonpath={.status.readyReplicas}=3")
    kubectl("rollout", "restart", "deployment/web")
    going("delete", "namespace", going.namespace, "--wait=false")
    for _ in range(2):
        system.back(role, system.kill(role))
    until(_api_answers(system), "the API")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s", timeout=90)
    until(lambda: len(kubectl.json("pods", "-l", "app=web")["items"]) == 3, "three pods and no more", 60)
    until(lambda: going.run("get", "namespace", going.namespace).returncode != 0, "the namespace is gone", 60)


def test_netd(system: WherrySystem, shop: Shop, measured: Measured) -> None:
    talk = Talk(shop.echo_port)
    with Visitor(shop.url) as visitor:
        visitor.visits(5)
        pid = system.kill("netd")
        at = time.monotonic()
        system.back("netd", pid)
        measured("netd runs again", time.monotonic() - at)
        talk.say("still here")
        measured("the open connection answers", time.monotonic() - at)
        until(shop.answers, "new connections")
        again = time.monotonic()
        measured("a new connection works", again - at)
        visitor.visits(10)
    talk.say("and now")
    talk.close()
    measured("slowest request through the node port", visitor.slowest)
    measured("requests through the node port that failed", len(visitor.failures) / 1000)
    assert all(began < again for began, _ in visitor.failures), visitor.failures
    until(lambda: shop.kubectl.run("exec", "traffic", "--", "getent", "ahostsv4", "web").stdout, "names")
    assert re.fullmatch(r"total \d+ failed 0", shop.total()), shop.traffic.lines


def test_netd_in_the_middle_of_a_stream(system: WherrySystem, shop: Shop) -> None:
    """Not a byte is lost, doubled or out of order, both ways, whatever netd held when it was killed."""
    with Stream(shop.echo_port) as stream:
        for _ in range(3):
            stream.lines(20_000)
            system.back("netd", system.kill("netd"))
        stream.lines(20_000)
    assert stream.failure is None
    assert stream.received == stream.sent


def test_launcher(system: WherrySystem, shop: Shop, measured: Measured) -> None:
    kubectl = shop.kubectl
    uids = kubectl.path_of("{.items[*].metadata.uid}", "pods")
    pid = system.kill("launcher")
    at = time.monotonic()
    system.back("launcher", pid)
    measured("the launcher runs again", time.monotonic() - at)
    until(shop.answers, "the shop")
    measured("the shop answers", time.monotonic() - at)
    kubectl.wait("deployment/web", "jsonpath={.status.readyReplicas}=2")
    assert kubectl.path_of("{.items[*].metadata.uid}", "pods") == uids
    counts = "{.items[*].status.containerStatuses[*].restartCount}"
    until(lambda: set(kubectl.path_of(counts, "pods", "-l", "app in (web,echo)").split()) == {"1"}, "one restart each")
    until(lambda: kubectl.run("exec", "deployment/web", "--", "getent", "ahostsv4", "web").returncode == 0, "names")
    Talk(shop.echo_port).close()


def test_supervisor(own_system: WherrySystem, measured: Measured) -> None:
    own_system.start()
    kubectl = newest(own_system)
    until(lambda: kubectl.run("get", "serviceaccount", "default").returncode == 0)
    kubectl.apply(pod("one", container(FOREVER)))
    kubectl.ready("one")
    others = {each["role"]: each["pid"] for each in own_system.status()["processes"]}
    killed = own_system.kill("supervisor")
    assert own_system.status()["state"] == "degraded"
    assert kubectl("exec", "one", "--", "echo", "runs") == "runs\n"
    at = time.monotonic()
    own_system.start()
    measured("`wherry up` took over", time.monotonic() - at)
    now = {each["role"]: each["pid"] for each in own_system.status()["processes"]}
    assert now.pop("supervisor") != others.pop("supervisor") == killed
    assert now == others
    at = time.monotonic()
    own_system.back("control-plane", own_system.kill("control-plane"))
    until(_api_answers(own_system), "the API")
    measured("the API answers after a kill of an adopted control plane", time.monotonic() - at)
    until(lambda: own_system.status()["state"] == "running", "whole again")


def test_everything_at_once(own_system: WherrySystem, measured: Measured) -> None:
    """As when the machine loses its power: only what is on the disk is left."""
    own_system.start()
    kubectl = newest(own_system)
    until(lambda: kubectl.run("get", "serviceaccount", "default").returncode == 0)
    kubectl.apply(deployment("web", web("web"), replicas=2))
    kubectl.wait("deployment/web", "jsonpath={.status.readyReplicas}=2")
    with Writer(own_system, "default") as writer:
        writer.writes(5)
        for role in ("supervisor", "control-plane", "node-agent", "netd", "launcher"):
            own_system.kill(role)
    at = time.monotonic()
    own_system.start()
    measured("`wherry up` after losing everything", time.monotonic() - at)
    _all_there(kubectl, writer)
    until(
        lambda: set(kubectl.path_of("{.items[*].status.containerStatuses[*].restartCount}", "pods").split()) == {"1"},
        "restarts",
    )
    kubectl.wait("deployment/web", "jsonpath={.status.readyReplicas}=2")
    measured("its pods are ready", time.monotonic() - at)
