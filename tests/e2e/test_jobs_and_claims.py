"""Jobs, claims of the default storage class, and namespaces that go with all that is in them."""

from __future__ import annotations

import re

from kubectl import Kubectl
from manifests import FOREVER, Obj, config_map, container, deployment, pod, pod_spec, service, shell
from wherry_system import until


def _job(name: str, command: list[str], policy: str = "Never", **spec: object) -> Obj:
    template = {"spec": pod_spec(container(command), restartPolicy=policy)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template, **spec}}


def _claim(name: str) -> Obj:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def test_jobs(kubectl: Kubectl) -> None:
    kubectl.apply(
        _job("many", shell("echo $JOB_COMPLETION_INDEX"), completions=3, parallelism=2, completionMode="Indexed"),
        _job("fails", shell("exit 1"), backoffLimit=1),
        _job("late", FOREVER, activeDeadlineSeconds=1),
        _job("gone", ["true"], ttlSecondsAfterFinished=1),
    )
    kubectl.wait("job/many", "condition=Complete")
    assert re.search(r"many +Complete +3/3 ", kubectl("get", "job", "many"))
    assert sorted(kubectl("logs", "-l", "job-name=many", "--tail=-1").split()) == ["0", "1", "2"]
    kubectl.wait("job/late", "condition=Failed")
    assert "DeadlineExceeded" in kubectl.path_of("{.status.conditions[*].reason}", "job/late")
    kubectl.wait("job/fails", "condition=Failed", 60)
    assert "BackoffLimitExceeded" in kubectl.path_of("{.status.conditions[*].reason}", "job/fails")
    assert kubectl.path_of("{.status.failed}", "job/fails") == "2"
    until(lambda: kubectl.run("get", "job", "gone").returncode == 1, "the finished job is removed")
    kubectl("delete", "job", "many")
    until(lambda: not kubectl.json("pods", "-l", "job-name=many")["items"], "its pods are removed")


def test_a_claim_keeps_its_files(kubectl: Kubectl) -> None:
    def using(name: str, command: list[str]) -> Obj:
        main = container(command, volumeMounts=[{"name": "data", "mountPath": "/data"}])
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
        return pod(name, main, restartPolicy="Never", volumes=[volume])

    kubectl.apply(_claim("data"))
    assert kubectl.path_of("{.status.phase}", "pvc/data") in ("Pending", "Bound")
    kubectl.apply(using("writes", shell("echo kept > /data/file")))
    kubectl.wait("pod/writes", "jsonpath={.status.phase}=Succeeded")
    kubectl.wait("pvc/data", "jsonpath={.status.phase}=Bound")
    assert kubectl.path_of("{.spec.storageClassName}", "pvc/data") == "standard"
    assert re.search(r"standard \(default\) ", kubectl("get", "storageclass"))
    kubectl("delete", "pod", "writes")
    kubectl.apply(using("reads", shell("cat /data/file")))
    kubectl.wait("pod/reads", "jsonpath={.status.phase}=Succeeded")
    assert kubectl("logs", "reads") == "kept\n"
    volume = kubectl.path_of("{.spec.volumeName}", "pvc/data")
    directory = kubectl.json("pv", volume)["spec"].get("hostPath", {}).get("path")
    kubectl("delete", "pod", "reads")
    kubectl("delete", "pvc", "data")
    kubectl.wait(f"pv/{volume}", "delete")
    assert str(kubectl.system.state) in directory
    until(lambda: not any(kubectl.system.state.glob(f"volumes/*{volume}*")), "the directory is removed")


def test_a_stateful_set(kubectl: Kubectl) -> None:
    labels = {"app": "db"}
    main = container(
        shell("hostname >> /data/names; exec sleep infinity"), volumeMounts=[{"name": "data", "mountPath": "/data"}]
    )
    template = {"metadata": {"labels": labels}, "spec": pod_spec(main)}
    claims = [{"metadata": {"name": "data"}, "spec": _claim("x")["spec"]}]
    spec = {"serviceName": "db", "replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    spec["volumeClaimTemplates"] = claims
    kubectl.apply(
        service("db", {"port": 80}, clusterIP="None"),
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": spec},
    )

    def names() -> str:
        return kubectl.run("exec", "db-1", "--", "cat", "/data/names").stdout

    kubectl("rollout", "status", "statefulset/db", "--timeout=60s", timeout=90)
    until(lambda: names() == "db-1\n", "it has written its name")
    kubectl("delete", "pod", "db-1")
    until(lambda: names() == "db-1\ndb-1\n", "so has the one in its place, below the first")
    kubectl("rollout", "status", "statefulset/db", "--timeout=60s", timeout=90)
    kubectl.ready("db-1")
    assert sorted(kubectl("get", "pvc", "-o", "name").split()) == [
        "persistentvolumeclaim/data-db-0", "persistentvolumeclaim/data-db-1",
    ]  # fmt: skip


def test_deleting_owners_and_namespaces(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("shop", container(FOREVER), replicas=2), config_map("settings", a="1"), service("shop"))
    kubectl.wait("deployment/shop", "condition=Available")
    kubectl("delete", "deployment", "shop", "--cascade=orphan")
    assert len(kubectl.json("replicasets", "-l", "app=shop")["items"]) == 1
    kubectl.apply(deployment("shop", container(FOREVER), replicas=2))
    kubectl.wait("deployment/shop", "condition=Available")
    assert len(kubectl.json("replicasets", "-l", "app=shop")["items"]) == 1
    kubectl("delete", "deployment", "shop", "--cascade=foreground")
    assert kubectl.json("replicasets", "-l", "app=shop")["items"] == []
    kubectl.apply(pod("left", container(FOREVER)))
    other = kubectl.in_namespace(f"{kubectl.namespace}-x")
    kubectl("create", "namespace", other.namespace)
    until(lambda: other.run("get", "serviceaccount", "default").returncode == 0)
    other.apply(pod("one", container(FOREVER)), config_map("settings", a="1"), service("one"))
    other.ready("one")
    kubectl("delete", "namespace", other.namespace, "--timeout=60s", timeout=90)
    assert "NotFound" in kubectl.fails("get", "namespace", other.namespace)
    assert other("get", "all,configmaps", "--ignore-not-found") == ""
