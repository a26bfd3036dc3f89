"""kubectl on objects of a running system: every way to read, write and delete them, with each release there is."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import yaml
from kubectl import Kubectl
from manifests import FOREVER, config_map, container, deployment, pod, service, shell, web
from wherry_system import PATIENCE, until

APP = deployment("shop", container(FOREVER), replicas=2)


def test_every_output_format(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    kubectl.apply(pod("one", container(FOREVER), labels={"app": "one", "tier": "front"}))
    kubectl.ready("one")
    assert re.search(r"^NAME +READY +STATUS +RESTARTS +AGE\none +1/1 +Running +0 ", kubectl("get", "pods"))
    wide = kubectl("get", "po", "-o", "wide").splitlines()
    assert wide[0].split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert re.search(r" 10\.244\.\d+\.\d+ ", wide[1])
    assert kubectl("get", "pods", "-o", "name") == "pod/one\n"
    assert json.loads(kubectl("get", "pod", "one", "-o", "json"))["status"]["phase"] == "Running"
    assert yaml.safe_load(kubectl("get", "pod", "one", "-o", "yaml"))["kind"] == "Pod"
    assert kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.labels.tier}") == "front"
    assert kubectl("get", "pods", "-o", "go-template={{range .items}}{{.metadata.name}}{{end}}") == "one"
    assert kubectl("get", "pods", "-o", "custom-columns=N:.metadata.name,P:.status.phase").split() == [
        "N", "P", "one", "Running",
    ]  # fmt: skip
    assert "front" in kubectl("get", "pods", "--show-labels")
    assert kubectl("get", "pods", "-L", "tier", "--no-headers").split()[-1] == "front"
    assert kubectl("get", "pods", "-l", "tier in (front,back),app!=two", "-o", "name") == "pod/one\n"
    assert kubectl("get", "pods", "--field-selector", "status.phase=Running", "-o", "name") == "pod/one\n"
    assert "one" in kubectl("get", "all")
    assert "No resources found" in kubectl.run("get", "pods", "-l", "app=two").stderr
    assert 'Error from server (NotFound): pods "two" not found' in kubectl.fails("get", "pod", "two")
    assert "one" in kubectl("get", "pods", "-A", "--sort-by=.metadata.name")


def test_watch_sees_a_pod_come_and_go(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    kubectl.apply(pod("before", container(FOREVER), schedulerName="nobody"))
    with kubectl.start("get", "pods", "--watch", "--output-watch-events") as watch:
        watch.line(r"ADDED +before +0/1 +Pending")  # from here on it misses nothing
        kubectl.apply(pod("one", container(FOREVER)))
        watch.line(r"ADDED +one +0/1 +Pending")
        watch.line(r"MODIFIED +one +1/1 +Running")
        kubectl("delete", "pod", "one", "--wait=false")
        watch.line(r"MODIFIED +one +1/1 +Terminating")
        watch.line(r"DELETED +one ")


def test_apply_diff_edit_and_delete(each_kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl = each_kubectl
    assert "deployment.apps/shop created" in kubectl.apply(APP)
    assert "deployment.apps/shop unchanged" in kubectl.apply(APP)
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump({**APP, "spec": {**APP["spec"], "replicas": 1}}))
    difference = kubectl.run("diff", "-f", str(file))
    assert (difference.returncode, "-  replicas: 2" in difference.stdout) == (1, True)
    assert "+  replicas: 1" in difference.stdout
    assert "configured" in kubectl("apply", "-f", str(file))
    assert kubectl.run("diff", "-f", str(file)).returncode == 0
    assert (
        "configured (server dry run)"
        in kubectl.run("apply", "-f", "-", "--dry-run=server", stdin=yaml.safe_dump(APP)).stdout
    )
    assert kubectl.path_of("{.spec.replicas}", "deployment/shop") == "1"
    kubectl(
        "patch",
        "deployment",
        "shop",
        "-p",
        '{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"A","value":"1"}]}]}}}}',
    )
    kubectl("patch", "deployment", "shop", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":3}]')
    kubectl("patch", "deployment", "shop", "--type=merge", "-p", '{"metadata":{"annotations":{"note":"x"}}}')
    found = kubectl.json("deployment", "shop")
    assert (found["spec"]["replicas"], found["metadata"]["annotations"]["note"]) == (3, "x")
    assert found["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "A", "value": "1"}]
    assert found["spec"]["template"]["spec"]["containers"][0]["command"] == FOREVER
    kubectl.apply(config_map("settings", a="0"))
    kubectl("replace", "-f", "-", stdin=yaml.safe_dump(config_map("settings", a="1")))
    assert "patched (no change)" in kubectl("patch", "configmap", "settings", "-p", '{"data":{"a":"1"}}')
    kubectl("label", "deployment", "shop", "owner=me")
    assert "not labeled" in kubectl("label", "deployment", "shop", "owner=me")
    assert "already has a value" in kubectl.fails("label", "deployment", "shop", "owner=you")
    kubectl("label", "deployment", "shop", "owner=you", "--overwrite")
    kubectl("annotate", "deployment", "shop", "why=because")
    kubectl("label", "deployment", "shop", "owner-")
    metadata = kubectl.json("deployment", "shop")["metadata"]
    assert ("owner" in metadata["labels"], metadata["annotations"]["why"]) == (False, "because")
    assert kubectl("delete", "-f", str(file)) == f'deployment.apps "shop" deleted{_from(kubectl)}\n'


def _from(kubectl: Kubectl) -> str:
    """Newer releases say the namespace too."""
    return f" from {kubectl.namespace} namespace" if "1.34" in kubectl.path else ""


def test_create_without_files(each_kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl = each_kubectl
    (tmp_path / "key").write_text("value")
    kubectl("create", "configmap", "settings", "--from-literal=colour=blue", f"--from-file={tmp_path}/key")
    kubectl("create", "secret", "generic", "login", "--from-literal=password=hidden")
    kubectl("create", "deployment", "shop", "--image=wherry.dev/host:v1", "--replicas=2", "--", *FOREVER)
    kubectl("expose", "deployment", "shop", "--port=80", "--target-port=8080")
    kubectl("create", "service", "nodeport", "front", "--tcp=80:8080")
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "reads", "--role=reader", f"--serviceaccount={kubectl.namespace}:robot")
    kubectl("create", "quota", "limits", "--hard=pods=50")
    kubectl("create", "job", "once", "--image=wherry.dev/host:v1", "--", "true")
    kubectl("run", "single", "--image=wherry.dev/host:v1", "--restart=Never", "--command", "--", *FOREVER)
    kubectl.wait("deployment/shop", "condition=Available")
    kubectl.wait("job/once", "condition=Complete")
    assert kubectl.json("configmap", "settings")["data"] == {"colour": "blue", "key": "value"}
    assert kubectl.json("secret", "login")["data"] == {"password": "aGlkZGVu"}
    assert kubectl.json("service", "front")["spec"]["ports"][0]["nodePort"] >= 30000
    assert "already exists" in kubectl.fails("create", "configmap", "settings")
    robot = f"--as=system:serviceaccount:{kubectl.namespace}:robot"
    assert kubectl("auth", "can-i", "list", "pods", robot) == "yes\n"
    refused = kubectl.run("auth", "can-i", "delete", "pods", robot)
    assert (refused.returncode, refused.stdout) == (1, "no\n")
    assert "pods" in kubectl("auth", "can-i", "--list", robot)
    assert "is forbidden" in kubectl.fails("get", "secrets", robot)
    assert len(kubectl("create", "token", "robot").split(".")) == 3


def test_delete_gracefully_and_by_force(kubectl: Kubectl) -> None:
    stubborn = shell("trap 'echo asked' TERM; echo hears; while :; do sleep 0.1; done")
    kubectl.apply(
        pod("polite", container(FOREVER)),
        pod("stubborn", container(stubborn), terminationGracePeriodSeconds=1),
        pod("forever", container(stubborn), terminationGracePeriodSeconds=3600),
    )
    kubectl.ready("polite", "stubborn", "forever")
    until(lambda: "hears" in kubectl("logs", "stubborn"), "it would not end by itself")
    kubectl("delete", "pod", "polite", "stubborn")
    until(lambda: kubectl.run("get", "pod", "polite", "stubborn").returncode == 1)
    with kubectl.start("logs", "-f", "forever") as logs:
        logs.line("hears")
        kubectl("delete", "pod", "forever", "--wait=false")
        logs.line("asked")
    assert kubectl.path_of("{.metadata.deletionGracePeriodSeconds}", "pod/forever") == "3600"
    forced = kubectl.run("delete", "pod", "forever", "--force", "--grace-period=0")
    assert "Immediate deletion does not wait" in forced.stderr
    assert "NotFound" in kubectl.fails("get", "pod", "forever")


def test_describe_tells_a_story(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    kubectl.apply(
        deployment("web", web(env=[{"name": "COLOUR", "value": "blue"}], resources={"requests": {"cpu": "10m"}})),
        service("web"), config_map("settings", a="1"),
    )  # fmt: skip
    kubectl.wait("deployment/web", "condition=Available")
    for reason in ("Scheduled", "Started"):
        kubectl.event(rf"Normal +{reason} +Pod +web-")
    text = kubectl("describe", "pods", "-l", "app=web")
    for part in (
        "Controlled By:  ReplicaSet/web-", "COLOUR:", "Readiness:", "QoS Class:                   Burstable",
        "Successfully assigned", "Started",
    ):  # fmt: skip
        assert part in text
    assert "NewReplicaSet:   web-" in kubectl("describe", "deployment", "web")
    until(lambda: re.search(r"Endpoints: +10\.244\.", kubectl("describe", "service", "web")), "endpoints")
    assert "Allocated resources" in kubectl("describe", "node")
    assert "settings" in kubectl("describe", "configmap", "settings")


def test_edit(each_kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl = each_kubectl
    kubectl.apply(config_map("settings", colour="blue"))
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/colour: blue/colour: red/" "$1"\n')
    editor.chmod(0o755)
    assert "configmap/settings edited" in kubectl(
        "edit", "configmap", "settings", environment={"KUBE_EDITOR": str(editor)}
    )
    assert kubectl.json("configmap", "settings")["data"] == {"colour": "red"}


def test_two_who_apply(kubectl: Kubectl) -> None:
    text = yaml.safe_dump(config_map("settings", a="1"))
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", "-", stdin=text)
    other = yaml.safe_dump(config_map("settings", a="2"))
    said = kubectl.fails("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=other)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.a' in said


def test_proxy(kubectl: Kubectl) -> None:
    with kubectl.start("proxy", "--port=0") as proxy:
        port = proxy.line("Starting to serve on").rpartition(":")[2]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/namespaces/default", timeout=PATIENCE) as answer:
            assert json.load(answer)["metadata"]["name"] == "default"


def test_cordon_and_drain(kubectl: Kubectl) -> None:
    """The node is one for all tests, and tests of a tier run one after another."""
    [node] = kubectl("get", "nodes", "-o", "name").split()
    kubectl.apply(deployment("shop", container(FOREVER)))
    kubectl.wait("deployment/shop", "condition=Available")
    try:
        kubectl("cordon", node)
        kubectl.apply(pod("late", container(FOREVER)))
        kubectl.event(r"Warning +FailedScheduling +Pod +late +0/1 nodes are available: 1 node\(s\) were unschedulable")
        selected = f"--pod-selector=app=shop,pod-template-hash={_template_hash(kubectl)}"
        assert "drained" in kubectl("drain", node, "--ignore-daemonsets", selected)
    finally:
        kubectl("uncordon", node)
    kubectl.ready("late")
    kubectl.wait("deployment/shop", "condition=Available")


def _template_hash(kubectl: Kubectl) -> str:
    return kubectl.path_of("{.items[0].metadata.labels.pod-template-hash}", "pods", "-l", "app=shop")


def test_autoscale(kubectl: Kubectl) -> None:
    """Out under load, by the figures `kubectl top` shows; the way back takes minutes and is tested in virtual time."""
    busy = shell("trap 'exit 0' TERM; while [ ! -e /tmp/work ]; do sleep 0.05; done; while :; do :; done")
    kubectl.apply(
        deployment("busy", container(busy, resources={"requests": {"cpu": "50m"}, "limits": {"cpu": "100m"}}))
    )
    kubectl.wait("deployment/busy", "condition=Available")
    kubectl("autoscale", "deployment", "busy", "--cpu-percent=50", "--min=1", "--max=3")
    until(lambda: re.search(r"cpu: \d+%/50%", kubectl("get", "hpa", "busy")), "a figure")
    kubectl("exec", "deployment/busy", "--", "touch", "/tmp/work")
    kubectl.wait("deployment/busy", "jsonpath={.status.replicas}=3")
    kubectl.event(
        r"Normal +SuccessfulRescale +HorizontalPodAutoscaler +busy +New size: [23]; reason: cpu resource utilization"
    )


def test_scale(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    kubectl.apply(APP)
    kubectl("scale", "deployment", "shop", "--replicas=3", "--current-replicas=2")
    kubectl.wait("deployment/shop", "jsonpath={.status.readyReplicas}=3")
    assert "Expected replicas to be 2" in kubectl.fails(
        "scale", "deployment", "shop", "--replicas=1", "--current-replicas=2"
    )
    kubectl("scale", "deployment/shop", "--replicas=0")
    kubectl("wait", "pod", "-l", "app=shop", "--for=delete", "--timeout=60s", timeout=90)


def test_the_system_describes_itself(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    assert f"https://127.0.0.1:{kubectl.system.port}" in kubectl("cluster-info")
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert json.loads(kubectl("get", "--raw", "/version"))["minor"] == "36"
    assert json.loads(kubectl("get", "--raw", "/api/v1/namespaces/default"))["kind"] == "Namespace"
    listed = kubectl("api-resources")
    assert re.search(r"deployments +deploy +apps/v1 +true +Deployment", listed)
    assert "pods/log" not in listed
    assert "apps/v1\n" in kubectl("api-versions")
    assert "namespaces" in kubectl("api-resources", "--namespaced=false", "-o", "name", "--api-group=").split()
    explained = kubectl("explain", "pod.spec.containers.livenessProbe.httpGet.port")
    assert re.search("(?i)port.*\n|int", explained)
    assert "replicas" in kubectl("explain", "deploy", "--recursive")
    assert "v1.36." in kubectl("version")
    [node] = kubectl.json("nodes")["items"]
    assert {"Ready": "True"}.items() <= {c["type"]: c["status"] for c in node["status"]["conditions"]}.items()


def test_top(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    kubectl.apply(pod("busy", container(shell("while :; do :; done"), resources={"limits": {"cpu": "500m"}})))
    kubectl.ready("busy")
    [row] = until(lambda: _figures(kubectl.run("top", "pods", "--no-headers").stdout), "figures above zero")
    assert re.fullmatch(r"busy \d+m \d+Mi", " ".join(row))
    [row] = until(lambda: _figures(kubectl.run("top", "nodes", "--no-headers").stdout), "figures above zero")
    assert re.fullmatch(r"\S+ \d+m \d+% \d+Mi \d+%", " ".join(row))
    assert re.search(r"busy +main +\d+m", kubectl("top", "pods", "--containers"))


def _figures(text: str) -> list[list[str]]:
    rows = [line.split() for line in text.splitlines()]
    return rows if rows and all(int(row[1].rstrip("m")) > 0 for row in rows) else []
