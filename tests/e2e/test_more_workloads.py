"""With real pods: a DaemonSet on the node, a CronJob that fires, a volume that lives as long as its pod, and an eviction."""

from __future__ import annotations

from kubectl import Kubectl
from manifests import FOREVER, container, deployment, pod, pod_spec, shell
from wherry_system import until


def test_a_daemon_set_and_a_replication_controller(kubectl: Kubectl) -> None:
    labels = {"app": "agent"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(container(shell("hostname; exec sleep infinity")))}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    old = {"metadata": {"labels": {"app": "old"}}, "spec": pod_spec(container(FOREVER))}
    kubectl.apply(
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "ReplicationController",
            "metadata": {"name": "old"},
            "spec": {"replicas": 2, "template": old},
        },
    )
    kubectl("rollout", "status", "daemonset/agent", "--timeout=60s", timeout=90)
    kubectl.wait("rc/old", "jsonpath={.status.readyReplicas}=2")
    (name,) = kubectl("get", "pods", "-l", "app=agent", "-o", "name").split()
    said = until(lambda: kubectl("logs", "daemonset/agent").strip(), "it has said its name")
    assert name == f"pod/{said}"
    kubectl("set", "env", "daemonset/agent", "A=B")
    kubectl("rollout", "status", "daemonset/agent", "--timeout=60s", timeout=90)
    assert kubectl("exec", "daemonset/agent", "--", "printenv", "A") == "B\n"


def test_a_cron_job_fires(kubectl: Kubectl) -> None:
    job = {"spec": {"template": {"spec": pod_spec(container(shell("echo on time")), restartPolicy="Never")}}}
    spec = {"schedule": "@every 1s", "jobTemplate": job, "concurrencyPolicy": "Forbid"}
    spec["successfulJobsHistoryLimit"] = 100  # the first one is there for as long as we look
    kubectl.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"}, "spec": spec})
    kubectl.wait("cronjob/tick", "jsonpath={.status.lastSuccessfulTime}")
    job_name = kubectl.path_of("{.items[?(@.status.succeeded==1)].metadata.name}", "jobs").split()[0]
    assert kubectl("logs", f"job/{job_name}") == "on time\n"


def test_a_volume_that_lives_as_long_as_its_pod(kubectl: Kubectl) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    volume = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}
    main = container(
        shell("echo here > /scratch/file; cat /scratch/file; exec sleep infinity"),
        volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}],
    )
    kubectl.apply(pod("one", main, volumes=[volume]))
    kubectl.ready("one")
    assert until(lambda: kubectl("logs", "one"), "it has written and read") == "here\n"
    assert kubectl.path_of("{.status.phase}", "pvc/one-scratch") == "Bound"
    kubectl("delete", "pod", "one")
    until(lambda: not kubectl.json("pvc")["items"], "its claim goes with it")


def test_an_eviction_that_the_budget_refuses(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("shop", container(FOREVER), replicas=2))
    kubectl("create", "poddisruptionbudget", "shop", "--selector=app=shop", "--min-available=2")
    kubectl.wait("deployment/shop", "condition=Available")
    kubectl.wait("pdb/shop", "jsonpath={.status.currentHealthy}=2")
    name = kubectl.path_of("{.items[0].metadata.name}", "pods")
    body = f'{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{name}"}}}}'
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{name}/eviction"
    said = kubectl.fails("create", "--raw", path, "-f", "-", stdin=body)
    assert "Cannot evict pod as it would violate the pod's disruption budget" in said
    kubectl("patch", "pdb", "shop", "-p", '{"spec":{"minAvailable":1}}')
    kubectl.wait("pdb/shop", "jsonpath={.status.disruptionsAllowed}=1")
    kubectl("create", "--raw", path, "-f", "-", stdin=body)
    kubectl.wait("pdb/shop", "jsonpath={.status.currentHealthy}=2")
