"""What people type at kubectl to run workloads: rollouts of every kind, drain, CronJobs, waiting, on nodes that only pretend."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from client_world import eventually
from control_plane_process import ControlPlane
from kubectl_tool import PROGRAMS, Kubectl, newest

pytestmark = pytest.mark.kubectl
NODES = 3

WORKLOAD = """
apiVersion: apps/v1
kind: {kind}
metadata: {{name: web, annotations: {{kubernetes.io/change-cause: first}}}}
spec:
  {more}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: c, image: "shop/web:1"}}]
"""
FLEET = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: fleets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Fleet, plural: fleets, singular: fleet}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {replicas: {type: integer}}}
          status: {type: object, properties: {replicas: {type: integer}}}
"""
KINDS = {"deployment": "replicas: 3", "statefulset": "replicas: 3", "daemonset": "minReadySeconds: 0"}
IMAGE = "{.spec.template.spec.containers[0].image}"
IMAGES = "{.items[*].spec.containers[0].image}"


def workload(kind: str) -> str:
    names = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}
    return WORKLOAD.format(kind=names[kind], more=KINDS[kind])


@pytest.fixture(scope="module")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("workloads"), simulated_nodes=NODES) as running:
        yield running


@pytest.fixture
def kubectl(
    release: str, populated: ControlPlane, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Kubectl]:
    home = tmp_path_factory.getbasetemp() / f"home-workloads-{release}"
    home.mkdir(exist_ok=True)
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.removeprefix("test_"))
    kubectl = Kubectl(PROGRAMS[release], populated.kubeconfig, home, name.lower().strip("-")[:50].strip("-"))
    kubectl("create", "namespace", kubectl.namespace)
    yield kubectl
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


def until_pods(kubectl: Kubectl, expression: str, wanted: list[str]) -> None:
    """Until there are no pods but these: a rollout that is over has old ones that are still ending."""
    eventually(lambda: kubectl.path(expression, "pods").split() == wanted)


@newest
@pytest.mark.parametrize("kind", KINDS)
def test_the_life_of_a_rollout(kubectl: Kubectl, kind: str) -> None:
    one = f"{kind}/web"
    kubectl("apply", "-f", "-", stdin=workload(kind))
    kubectl("rollout", "status", one, "--timeout=50s")
    until_pods(kubectl, IMAGES, ["shop/web:1"] * NODES)
    kubectl("set", "image", one, "c=shop/web:2")
    kubectl("annotate", one, "kubernetes.io/change-cause=second", "--overwrite")
    kubectl("rollout", "status", one, "--timeout=50s")
    until_pods(kubectl, IMAGES, ["shop/web:2"] * NODES)
    history = kubectl("rollout", "history", one).splitlines()
    assert [line.split()[0] for line in history if line[:1].isdigit()] == ["1", "2"]
    assert "shop/web:1" in kubectl("rollout", "history", one, "--revision=1")
    assert "rolled back" in kubectl("rollout", "undo", one)
    kubectl("rollout", "status", one, "--timeout=50s")
    assert kubectl.path(IMAGE, one) == "shop/web:1"
    until_pods(kubectl, IMAGES, ["shop/web:1"] * NODES)
    assert "restarted" in kubectl("rollout", "restart", one)
    kubectl("rollout", "status", one, "--timeout=50s")
    restarted = kubectl.path(r"{.spec.template.metadata.annotations.kubectl\.kubernetes\.io/restartedAt}", one)
    until_pods(kubectl, r"{.items[*].metadata.annotations.kubectl\.kubernetes\.io/restartedAt}", [restarted] * NODES)
    kubectl("rollout", "undo", one, "--to-revision=2")
    kubectl("rollout", "status", one, "--timeout=50s")
    until_pods(kubectl, IMAGES, ["shop/web:2"] * NODES)
    kubectl("set", "env", one, "COLOUR=red")
    kubectl("set", "resources", one, "--requests=cpu=100m")
    kubectl("rollout", "status", one, "--timeout=50s")
    until_pods(kubectl, "{.items[*].spec.containers[0].env[0].value}", ["red"] * NODES)
    until_pods(kubectl, "{.items[*].spec.containers[0].resources.requests.cpu}", ["100m"] * NODES)
    until_pods(kubectl, IMAGES, ["shop/web:2"] * NODES)
    pods = set(kubectl("get", "pods", "-o", "name").split())
    kubectl("delete", one, "--cascade=orphan")
    assert set(kubectl("get", "pods", "-o", "name").split()) == pods
    kubectl("apply", "-f", "-", stdin=workload(kind))
    kubectl("wait", "--for=jsonpath={.status.observedGeneration}=1", one, "--timeout=50s")
    kubectl("rollout", "status", one, "--timeout=50s")
    kubectl("delete", one, "--cascade=foreground", "--timeout=50s")
    assert kubectl("get", "pods", "-o", "name") == ""


@newest
def test_pausing_scaling_and_waiting(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=workload("deployment"))
    kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=50s")
    kubectl("rollout", "pause", "deployment/web")
    kubectl("set", "image", "deployment/web", "c=shop/web:2")
    assert kubectl.path("{.items[*].spec.containers[0].image}", "pods").split() == ["shop/web:1"] * 3
    kubectl("rollout", "resume", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=50s")
    kubectl("scale", "deployment/web", "--replicas=5", "--timeout=50s")
    kubectl("wait", "--for=jsonpath={.status.readyReplicas}=5", "deployment/web", "--timeout=50s")
    kubectl("apply", "-f", "-", stdin=workload("statefulset").replace("web", "db"))
    kubectl("scale", "statefulset/db", "--replicas=1")
    kubectl("wait", "--for=delete", "pod/db-2", "--timeout=50s")
    kubectl("wait", "--for=jsonpath={.status.availableReplicas}=1", "statefulset/db", "--timeout=50s")
    kubectl("autoscale", "deployment/web", "--min=2", "--max=4", "--name=web")
    kubectl("wait", "--for=jsonpath={.spec.replicas}=4", "deployment/web", "--timeout=50s")
    kubectl("delete", "hpa", "web")


@newest
def test_cron_jobs_and_jobs(kubectl: Kubectl) -> None:
    kubectl("create", "cronjob", "report", "--image=shop/report:1", "--schedule=0 0 1 1 *", "--", "report")
    kubectl("create", "job", "now", "--from=cronjob/report")
    kubectl("wait", "--for=condition=Complete", "job/now", "--timeout=50s")
    assert kubectl.path("{.metadata.annotations}", "job", "now") == '{"cronjob.kubernetes.io/instantiate":"manual"}'
    assert "1/1" in kubectl("get", "job", "now")
    patch = '{"spec":{"schedule":"@every 1s","startingDeadlineSeconds":10}}'
    kubectl("patch", "cronjob", "report", "-p", patch)
    with kubectl.lines("get", "events", "-w", "-o", "jsonpath={.involvedObject.name} {.reason}{'\\n'}") as lines:
        assert "report SawCompletedJob\n" in lines  # reads on until it comes
    kubectl("patch", "cronjob", "report", "-p", '{"spec":{"suspend":true}}')
    assert kubectl.path("{.status.lastScheduleTime}", "cronjob", "report")
    assert "SuccessfulCreate" in kubectl("describe", "cronjob", "report")
    kubectl("delete", "cronjob", "report", "--cascade=foreground", "--timeout=50s")
    assert kubectl("get", "jobs,pods", "-o", "name") == ""


@newest
def test_drain_waits_for_the_budget(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=workload("deployment"))
    kubectl("apply", "-f", "-", stdin=workload("daemonset").replace("web", "agent"))
    kubectl("create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=2")
    kubectl("rollout", "status", "deployment/web", "--timeout=50s")
    kubectl("rollout", "status", "daemonset/agent", "--timeout=50s")
    kubectl("wait", "--for=jsonpath={.status.disruptionsAllowed}=1", "pdb/web", "--timeout=50s")
    node = kubectl.path("{.items[0].spec.nodeName}", "pods", "-l", "app=web")
    only = "--pod-selector=app in (web,agent),controller-revision-hash!=none"
    try:
        assert "DaemonSet-managed Pods" in kubectl.fails("drain", node, only, "--timeout=5s")
        assert "drained" in kubectl("drain", node, only, "--ignore-daemonsets", "--timeout=50s")
        left = kubectl("get", "pods", "-o", "wide", f"--field-selector=spec.nodeName={node}", "--no-headers").split(
            "\n"
        )
        assert [line.split()[0].split("-")[0] for line in left if line] == ["agent"]
        kubectl("wait", "--for=jsonpath={.status.currentHealthy}=3", "pdb/web", "--timeout=50s")
        kubectl("scale", "deployment/web", "--replicas=2")
        kubectl("wait", "--for=jsonpath={.status.disruptionsAllowed}=0", "pdb/web", "--timeout=50s")
        eventually(lambda: len(kubectl("get", "pods", "-l", "app=web", "-o", "name").split()) == 2)
        other = kubectl.path("{.items[0].spec.nodeName}", "pods", "-l", "app=web")
        with kubectl.lines("drain", other, only, "--ignore-daemonsets", stderr=subprocess.STDOUT) as lines:
            assert any("Cannot evict pod as it would violate the pod's disruption budget" in line for line in lines)
        kubectl("uncordon", other)
        kubectl("taint", "node", node, "team=b:NoExecute")
        kubectl(
            "wait", "--for=delete", "pod", "-l", "app=agent", f"--field-selector=spec.nodeName={node}", "--timeout=50s"
        )
        kubectl("wait", "--for=jsonpath={.status.desiredNumberScheduled}=2", "daemonset/agent", "--timeout=50s")
        kubectl("taint", "node", node, "team-")
    finally:
        kubectl("uncordon", node)
    kubectl("rollout", "status", "daemonset/agent", "--timeout=50s")


@newest
def test_quota_and_tables(kubectl: Kubectl) -> None:
    kubectl("create", "quota", "small", "--hard=pods=4,count/deployments.apps=2")
    kubectl("apply", "-f", "-", stdin=workload("deployment"))
    kubectl("rollout", "status", "deployment/web", "--timeout=50s")
    kubectl("wait", "--for=jsonpath={.status.used.pods}=3", "quota/small", "--timeout=50s")
    described = kubectl("describe", "quota", "small")
    rows = [line.split() for line in described.splitlines()]
    assert ["pods", "3", "4"] in rows
    assert ["count/deployments.apps", "1", "2"] in rows
    kubectl("create", "deployment", "second", "--image=i", "--replicas=3")
    kubectl("wait", "--for=condition=ReplicaFailure", "deployment/second", "--timeout=50s")
    assert "exceeded quota: small, requested: pods=1, used: pods=4, limited: pods=4" in kubectl(
        "get", "deployment", "second", "-o", "jsonpath={.status.conditions[?(@.type=='ReplicaFailure')].message}"
    )
    assert "exceeded quota" in kubectl.fails("create", "deployment", "third", "--image=i")
    kubectl("apply", "-f", "-", stdin=workload("daemonset").replace("web", "agent"))
    header = kubectl("get", "daemonset").splitlines()[0].split()
    assert header[:7] == ["NAME", "DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE", "NODE"]


@newest
def test_a_budget_for_the_pods_of_a_custom_resource(kubectl: Kubectl) -> None:
    """How many there should be is asked of the custom resource's own scale."""
    kubectl("apply", "-f", "-", stdin=FLEET)
    kubectl("wait", "--for=condition=Established", "crd/fleets.example.com", "--timeout=50s")
    try:
        kubectl(
            "apply",
            "-f",
            "-",
            stdin="{apiVersion: example.com/v1, kind: Fleet, metadata: {name: f}, spec: {replicas: 5}}",
        )
        uid = kubectl.path("{.metadata.uid}", "fleet", "f")
        owner = f"[{{apiVersion: example.com/v1, kind: Fleet, name: f, uid: {uid}, controller: true}}]"
        metadata = f"{{name: ship, labels: {{app: ship}}, ownerReferences: {owner}}}"
        spec = "{containers: [{name: c, image: i}]}"
        kubectl("apply", "-f", "-", stdin=f"{{apiVersion: v1, kind: Pod, metadata: {metadata}, spec: {spec}}}")
        kubectl("create", "poddisruptionbudget", "ships", "--selector=app=ship", "--max-unavailable=2")
        kubectl("wait", "--for=jsonpath={.status.expectedPods}=5", "pdb/ships", "--timeout=50s")
        assert kubectl.path("{.status.desiredHealthy}", "pdb", "ships") == "3"
        said = kubectl.path("{.status.conditions[0].status} {.status.conditions[0].reason}", "pdb", "ships")
        assert said == "False InsufficientPods"
    finally:
        kubectl("delete", "crd", "fleets.example.com")
