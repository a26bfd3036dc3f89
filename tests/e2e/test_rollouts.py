"""Rolling updates with kubectl: history, undo, pause, restart, and updates that fail, with the reasons kubectl shows."""

from __future__ import annotations

import re

from kubectl import Kubectl
from manifests import FOREVER, Obj, container, deployment, pod, program, reaching, service, shell, web
from wherry_system import until

QUICK = {"minReadySeconds": 0, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}


def _rolled_out(kubectl: Kubectl, name: str = "shop") -> str:
    return kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s", timeout=90)


def test_an_update_is_followed_and_undone(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    kubectl.apply(deployment("shop", container(FOREVER), replicas=2))
    assert 'deployment "shop" successfully rolled out' in _rolled_out(kubectl)
    kubectl("annotate", "deployment", "shop", "kubernetes.io/change-cause=first")
    until(
        lambda: re.search(r"1 +first\n", kubectl("rollout", "history", "deployment/shop")), "its revision is told why"
    )
    kubectl("set", "image", "deployment/shop", "main=wherry.dev/host:v2")
    kubectl("annotate", "deployment", "shop", "kubernetes.io/change-cause=second", "--overwrite")
    assert "successfully rolled out" in _rolled_out(kubectl)
    until(
        lambda: re.search(r"1 +first\n2 +second\n", kubectl("rollout", "history", "deployment/shop")),
        "both are told why",
    )
    assert "wherry.dev/host:v2" in kubectl("rollout", "history", "deployment/shop", "--revision=2")
    assert "rolled back" in kubectl("rollout", "undo", "deployment/shop")
    _rolled_out(kubectl)
    assert kubectl.path_of("{.spec.template.spec.containers[0].image}", "deployment/shop") == "wherry.dev/host:v1"
    assert re.search(r"2 +second\n3 +first\n", kubectl("rollout", "history", "deployment/shop"))
    kubectl("rollout", "undo", "deployment/shop", "--to-revision=2")
    _rolled_out(kubectl)
    assert kubectl.path_of("{.items[*].status.replicas}", "replicasets", "-l", "app=shop").split().count("2") == 1


def test_restart_pause_and_resume(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    kubectl.apply(deployment("shop", container(FOREVER)))
    _rolled_out(kubectl)
    before = kubectl.path_of("{.items[0].metadata.uid}", "pods", "-l", "app=shop")
    kubectl("rollout", "restart", "deployment/shop")
    _rolled_out(kubectl)
    until(
        lambda: before not in kubectl.path_of("{.items[*].metadata.uid}", "pods", "-l", "app=shop"),
        "the old pod is gone",
    )
    kubectl("rollout", "pause", "deployment/shop")
    kubectl("set", "env", "deployment/shop", "A=1")
    reason = "{.status.conditions[?(@.type=='Progressing')].reason}"
    until(lambda: kubectl.path_of(reason, "deployment/shop") == "DeploymentPaused", "paused")
    assert len(kubectl.json("replicasets", "-l", "app=shop")["items"]) == 2
    kubectl("rollout", "resume", "deployment/shop")
    _rolled_out(kubectl)
    assert len(kubectl.json("replicasets", "-l", "app=shop")["items"]) == 3


def test_no_request_fails_while_a_service_is_updated(kubectl: Kubectl) -> None:
    slow_end = {"preStop": {"exec": {"command": ["sleep", "5"]}}}  # longer than Services may take to forget a pod

    def version(name: str) -> Obj:
        return deployment(
            "web", web(name, lifecycle=slow_end), replicas=2, spec=QUICK, terminationGracePeriodSeconds=30
        )

    kubectl.apply(version("one"), service("web"))
    kubectl.wait("deployment/web", "condition=Available")
    kubectl.apply(
        pod(
            "traffic",
            container(program("traffic", "http://web/")),
            initContainers=[reaching("http://web/")],
            terminationGracePeriodSeconds=30,
        )
    )
    kubectl.ready("traffic")
    pods = ("{.items[*].metadata.uid}", "pods", "-l", "app=web")
    before = kubectl.path_of(*pods).split()
    with kubectl.start("logs", "-f", "traffic") as logs:
        logs.line("began")
        kubectl.apply(version("two"))
        _rolled_out(kubectl, "web")
        until(lambda: not set(before) & set(kubectl.path_of(*pods).split()), "the old pods are gone")
        kubectl("delete", "pod", "traffic", "--wait=false")
        said = logs.line("^total")
    assert re.fullmatch(r"total \d{2,} failed 0", said), "\n".join(logs.lines)


def test_an_image_that_is_not_there(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("shop", container(FOREVER), replicas=2))
    _rolled_out(kubectl)
    hasty = '{"spec":{"progressDeadlineSeconds":3}}'  # from now on: pods that do start may take longer
    kubectl("patch", "deployment", "shop", "-p", hasty)
    kubectl("set", "image", "deployment/shop", "main=127.0.0.1:1/nothing:v1")
    error = kubectl.fails("rollout", "status", "deployment/shop", "--timeout=60s", timeout=90)
    assert 'deployment "shop" exceeded its progress deadline' in error
    waiting = "{.items[*].status.containerStatuses[0].state.waiting.reason}"
    until(
        lambda: kubectl.path_of(waiting, "pods", "-l", "app=shop") in ("ErrImagePull", "ImagePullBackOff"), "the reason"
    )
    assert kubectl.path_of("{.status.readyReplicas}", "deployment/shop") == "2"
    kubectl.event(r'Warning +Failed +Pod +shop-\S+ +Failed to pull image "127.0.0.1:1/nothing:v1": ')
    kubectl.event(r'Normal +BackOff +Pod +shop-\S+ +Back-off pulling image "127.0.0.1:1/nothing:v1"')
    assert "ProgressDeadlineExceeded" in kubectl("describe", "deployment", "shop")
    kubectl("patch", "deployment", "shop", "-p", '{"spec":{"progressDeadlineSeconds":null}}')
    kubectl("rollout", "undo", "deployment/shop")
    assert "successfully rolled out" in _rolled_out(kubectl)


def test_a_version_that_crashes(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("shop", container(FOREVER)))
    _rolled_out(kubectl)
    careful = {"progressDeadlineSeconds": 6, "minReadySeconds": 5}  # a crash is noticed long before it counts as ready
    kubectl.apply(deployment("shop", container(shell("echo no such table >&2; exit 3")), spec=careful))
    error = kubectl.fails("rollout", "status", "deployment/shop", "--timeout=60s", timeout=90)
    assert "exceeded its progress deadline" in error
    kubectl.event("Warning +BackOff +Pod +shop-.*Back-off restarting failed container main in pod shop-")

    def crashed() -> list[Obj]:
        pods = kubectl.json("pods", "-l", "app=shop")["items"]
        return [each for each in pods if each["status"]["containerStatuses"][0]["restartCount"]]

    [crashing] = until(crashed, "its status says so too")
    [status] = crashing["status"]["containerStatuses"]
    assert status["lastState"]["terminated"]["exitCode"] == 3
    name = crashing["metadata"]["name"]
    until(lambda: re.search(r"0/1 +(CrashLoopBackOff|Error) +[1-9] ", kubectl("get", "pod", name)), "kubectl shows it")
    assert kubectl("logs", name, "--previous") == "no such table\n"
    text = kubectl("describe", "pod", name)
    assert "Exit Code:    3" in text
    assert "Last State:     Terminated" in text


def test_more_than_the_node_has(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("huge", container(FOREVER, resources={"requests": {"memory": "900Ti"}})))
    kubectl.event(r"Warning +FailedScheduling +Pod +huge-\S+ +0/1 nodes are available: 1 Insufficient memory\.")
    reason = "{.items[0].status.conditions[0].reason}"
    until(lambda: kubectl.path_of(reason, "pods") == "Unschedulable", "its status says so after its event")
    assert kubectl.path_of("{.items[0].status.phase}", "pods") == "Pending"
