"""Three nodes on one machine: pods spread and reach one another, a node is drained, an agent killed, a node taken away."""

from __future__ import annotations

import os
import signal
from collections import Counter

from kubectl import Kubectl, needs_kubectl, newest
from manifests import deployment, service, web
from wherry_system import WherrySystem, until

from wherry.cluster.paths import State
from wherry.cluster.processes import running

FETCH = "import urllib.request as u; print(u.urlopen('http://web', timeout=5).status)"


def _places(kubectl: Kubectl) -> Counter[str]:
    """Node -> ready pods that nobody is ending."""
    pods = [pod for pod in kubectl.json("pods")["items"] if "deletionTimestamp" not in pod["metadata"]]
    ready = [
        pod for pod in pods if all(each["ready"] for each in pod["status"].get("containerStatuses", [{"ready": 0}]))
    ]
    return Counter(pod["spec"]["nodeName"] for pod in ready)


@needs_kubectl
def test_three_nodes(own_system: WherrySystem) -> None:
    own_system.start("--nodes", "3")
    kubectl = newest(own_system)
    until(lambda: kubectl.run("get", "serviceaccount", "default").returncode == 0, "service account default")
    until(lambda: len(kubectl.json("nodes")["items"]) == 3, "all have registered")
    kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=60s", timeout=90)
    until(lambda: not kubectl.path_of("{.items[*].spec.taints}", "nodes"), "none is new to the scheduler any more")
    first, second, third = sorted(node["metadata"]["name"] for node in kubectl.json("nodes")["items"])
    assert [second, third] == [f"{first}-2", f"{first}-3"]

    kubectl.apply(deployment("web", web("web"), replicas=6), service("web"))
    kubectl.wait("deployment/web", "jsonpath={.status.readyReplicas}=6")
    assert _places(kubectl) == {first: 2, second: 2, third: 2}
    pods = {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in kubectl.json("pods")["items"]}

    def fetches(pod: str) -> bool:
        return kubectl.run("exec", pod, "--", "python3", "-c", FETCH).stdout.strip() == "200"

    for node, pod in pods.items():
        until(lambda pod=pod: fetches(pod), f"{node} knows the Service")  # type: ignore[misc]

    kubectl("drain", second)
    until(lambda: _places(kubectl) == {first: 3, third: 3}, "the pods of the drained node are elsewhere")
    kubectl("uncordon", second)

    agent = running(State(own_system.state).pid_file("node-agent-3"))
    assert agent is not None
    os.kill(agent.pid, signal.SIGKILL)
    until(lambda: (back := running(State(own_system.state).pid_file("node-agent-3"))) and back.pid != agent.pid, "back")
    until(lambda: fetches(pods[third]), "exec works")
    assert kubectl.path_of("{.status.containerStatuses[0].restartCount}", f"pod/{pods[third]}") == "0"

    own_system.stop()
    own_system.start("--nodes", "2")
    until(lambda: _places(kubectl).keys() <= {first, second} and _places(kubectl).total() == 6, "six pods on two nodes")
    assert sorted(node["metadata"]["name"] for node in kubectl.json("nodes")["items"]) == [first, second]
