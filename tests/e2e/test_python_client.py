"""The official Python client: CRUD, watch, exec and port-forward from outside; in-cluster configuration in a pod."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubectl import Kubectl
from manifests import FOREVER, config_map, container, deployment, pod, web

kubernetes = pytest.importorskip("kubernetes")
from kubernetes import client, config, dynamic, watch  # noqa: E402
from kubernetes.stream import portforward, stream  # noqa: E402


@pytest.fixture
def api(kubectl: Kubectl) -> Iterator[Any]:
    configuration = client.Configuration()
    config.load_kube_config(str(kubectl.system.kubeconfig), kubectl.system.context, client_configuration=configuration)
    with client.ApiClient(configuration) as api:
        yield api


def test_create_read_update_delete(kubectl: Kubectl, api: Any) -> None:
    core, namespace = client.CoreV1Api(api), kubectl.namespace
    made = core.create_namespaced_config_map(
        namespace, client.V1ConfigMap(metadata={"name": "settings"}, data={"a": "1"})
    )
    assert core.read_namespaced_config_map("settings", namespace).metadata.uid == made.metadata.uid
    core.patch_namespaced_config_map("settings", namespace, {"data": {"b": "2"}})
    current = core.read_namespaced_config_map("settings", namespace)
    current.data["a"] = "3"
    assert core.replace_namespaced_config_map("settings", namespace, current).data == {"a": "3", "b": "2"}
    with pytest.raises(client.ApiException) as conflict:
        core.replace_namespaced_config_map("settings", namespace, current)
    assert conflict.value.status == 409
    core.delete_namespaced_config_map("settings", namespace)
    with pytest.raises(client.ApiException) as missing:
        core.read_namespaced_config_map("settings", namespace)
    assert (missing.value.status, missing.value.reason) == (404, "Not Found")


def test_watch(kubectl: Kubectl, api: Any) -> None:
    core, namespace = client.CoreV1Api(api), kubectl.namespace
    before = core.list_namespaced_pod(namespace)
    kubectl.apply(pod("one", container(FOREVER)))
    seen = []
    deleted = None
    watcher = watch.Watch()
    for event in watcher.stream(
        core.list_namespaced_pod, namespace, resource_version=before.metadata.resource_version, timeout_seconds=60
    ):
        seen.append((event["type"], event["object"].status.phase))
        if (
            seen[-1][1] == "Running" and deleted is None
        ):  # once: it goes on running, and may be gone when we hear of that
            deleted = core.delete_namespaced_pod("one", namespace)
        if event["type"] == "DELETED":
            watcher.stop()
    assert seen[0] == ("ADDED", "Pending")
    assert seen[-1][0] == "DELETED"


def test_dynamic_client_and_workloads(kubectl: Kubectl, api: Any) -> None:
    deployments = dynamic.DynamicClient(api).resources.get(api_version="apps/v1", kind="Deployment")
    deployments.create(deployment("web", web()), namespace=kubectl.namespace)
    kubectl.wait("deployment/web", "condition=Available")
    scale = client.AppsV1Api(api).patch_namespaced_deployment_scale("web", kubectl.namespace, {"spec": {"replicas": 2}})
    assert scale.spec.replicas == 2
    kubectl.wait("deployment/web", "jsonpath={.status.readyReplicas}=2")


def test_exec_and_port_forward(kubectl: Kubectl, api: Any) -> None:
    kubectl.apply(pod("web", web("web")))
    kubectl.ready("web")
    core = client.CoreV1Api(api)
    command = ["sh", "-c", "echo out; echo err >&2; exit 3"]
    session = stream(
        core.connect_get_namespaced_pod_exec, "web", kubectl.namespace, command=command,
        stdout=True, stderr=True, stdin=False, tty=False, _preload_content=False,
    )  # fmt: skip
    session.run_forever(timeout=60)
    assert (session.read_stdout(), session.read_stderr(), session.returncode) == ("out\n", "err\n", 3)
    forward = portforward(core.connect_get_namespaced_pod_portforward, "web", kubectl.namespace, ports="8080")
    sock = forward.socket(8080)
    sock.settimeout(60)
    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while data := sock.recv(4096):
        answer += data
    assert answer.endswith(b"web web\n")
    assert forward.error(8080) is None
    forward.close()


IN_CLUSTER = """
from kubernetes import client, config, watch
config.load_incluster_config()
namespace = open("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read()
core = client.CoreV1Api()
core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata={"name": "made-inside"}, data={"by": "a pod"}))
for event in watch.Watch().stream(core.list_namespaced_config_map, namespace, timeout_seconds=60):
    if event["object"].metadata.name == "made-outside":
        print("saw", event["object"].data["by"])
        break
"""


def test_in_a_pod(kubectl: Kubectl) -> None:
    """With the interpreter that runs Wherry, which every pod of the machine's own image can see."""
    kubectl("create", "role", "maker", "--verb=create,list,watch,get", "--resource=configmaps")
    kubectl("create", "rolebinding", "makes", "--role=maker", f"--serviceaccount={kubectl.namespace}:default")
    folder = str(Path(kubernetes.__file__).parent.parent)
    python = kubectl.system.tier.python
    env = [{"name": "PYTHONPATH", "value": folder}] if kubectl.system.tier.user is None else []
    kubectl.apply(pod("operator", container([python, "-u", "-c", IN_CLUSTER], env=env), restartPolicy="Never"))
    with kubectl.start("get", "configmaps", "--watch", "--no-headers") as seen:
        seen.line("made-inside")
    made = kubectl.json("configmap", "made-inside")
    assert made["data"] == {"by": "a pod"}
    kubectl.apply(config_map("made-outside", by="kubectl"))
    kubectl.wait("pod/operator", "jsonpath={.status.phase}=Succeeded")
    assert kubectl("logs", "operator") == "saw kubectl\n"


def test_many_watchers_at_once(kubectl: Kubectl, api: Any) -> None:
    core, namespace = client.CoreV1Api(api), kubectl.namespace
    version = core.list_namespaced_config_map(namespace).metadata.resource_version
    seen: list[int] = []

    def follow() -> None:
        found = 0
        for event in watch.Watch().stream(
            core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=60
        ):
            found += event["object"].metadata.name.startswith("many-")
            if found == 20:
                break
        seen.append(found)

    threads = [threading.Thread(target=follow) for _ in range(10)]
    for thread in threads:
        thread.start()
    kubectl.apply(*(config_map(f"many-{number}", a="1") for number in range(20)))
    for thread in threads:
        thread.join(60)
    assert seen == [20] * 10
