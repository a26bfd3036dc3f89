"""The official Python client and an operator written with kopf, unmodified, against a control plane process.

kopf watches CustomResourceDefinitions to know what there is. Its handlers here are for ConfigMaps and Deployments; kinds of its
own are in `test_clients_custom_resources.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from control_plane_process import ControlPlane

kubernetes = pytest.importorskip("kubernetes", reason="the official client is not installed")
pytestmark = pytest.mark.usefixtures("sockets_left")
PATIENCE = 60


@pytest.fixture(scope="module")
def api(plane: ControlPlane) -> Iterator[Any]:
    client = kubernetes.config.new_client_from_config(str(plane.kubeconfig))
    client.configuration.client_side_validation = True
    yield client
    client.close()
    client.rest_client.pool_manager.clear()


@pytest.fixture
def namespace(api: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    core = kubernetes.client.CoreV1Api(api)
    made = core.create_namespace({"metadata": {"generateName": "client-"}})
    yield made.metadata.name
    core.delete_namespace(made.metadata.name)


def deployment(name: str = "web", replicas: int = 1) -> dict[str, Any]:
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod},
    }


def test_typed_objects(api: Any, namespace: str) -> None:
    client = kubernetes.client
    apps = client.AppsV1Api(api)
    body = client.V1Deployment(
        metadata=client.V1ObjectMeta(name="web"),
        spec=client.V1DeploymentSpec(
            replicas=2,
            selector=client.V1LabelSelector(match_labels={"app": "web"}),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels={"app": "web"}),
                spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="i")]),
            ),
        ),
    )
    created = apps.create_namespaced_deployment(namespace, body, field_validation="Strict")
    assert created.spec.strategy.rolling_update.max_surge == "25%"
    created.spec.replicas = 3
    created.metadata.resource_version = None
    assert apps.replace_namespaced_deployment("web", namespace, created).metadata.generation == 2
    watch = kubernetes.watch.Watch()
    for event in watch.stream(
        apps.list_namespaced_deployment, namespace, field_selector="metadata.name=web", timeout_seconds=PATIENCE
    ):
        if (event["object"].status.updated_replicas or 0) == 3:
            watch.stop()
    pods = client.CoreV1Api(api).list_namespaced_pod(namespace, label_selector="app=web")
    assert len(pods.items) == 3
    assert apps.read_namespaced_deployment_status("web", namespace).status.replicas == 3
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 0}})
    options = client.V1DeleteOptions(propagation_policy="Foreground")
    apps.delete_namespaced_deployment("web", namespace, body=options)
    for everything in (
        client.BatchV1Api(api).list_job_for_all_namespaces,
        client.CoreV1Api(api).list_event_for_all_namespaces,
        client.CoreV1Api(api).list_node,
        client.NetworkingV1Api(api).list_ingress_for_all_namespaces,
        client.PolicyV1Api(api).list_pod_disruption_budget_for_all_namespaces,
        client.RbacAuthorizationV1Api(api).list_cluster_role,
        client.StorageV1Api(api).list_storage_class,
    ):
        assert everything().metadata.resource_version


def test_patches(api: Any, namespace: str) -> None:
    """A list is a JSON patch, a dict a strategic one to this client; `_content_type` says otherwise."""
    apps = kubernetes.client.AppsV1Api(api)
    apps.create_namespaced_deployment(namespace, deployment())
    container = {"spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}]}]}}}}
    strategic = "application/strategic-merge-patch+json"
    merged = apps.patch_namespaced_deployment("web", namespace, container, _content_type=strategic)
    assert (merged.spec.template.spec.containers[0].image, merged.spec.template.spec.containers[0].env[0].name) == (
        "i",
        "A",
    )
    operations = [{"op": "add", "path": "/metadata/labels", "value": {"x": "y"}}]
    assert apps.patch_namespaced_deployment("web", namespace, operations).metadata.labels == {"x": "y"}
    merge = "application/merge-patch+json"
    done = apps.patch_namespaced_deployment(
        "web", namespace, {"metadata": {"labels": {"x": None, "z": "1"}}}, _content_type=merge
    )
    assert done.metadata.labels == {"z": "1"}
    with pytest.raises(kubernetes.client.ApiException) as error:
        apps.patch_namespaced_deployment("web", namespace, [{"op": "test", "path": "/spec/replicas", "value": 9}])
    assert (error.value.status, error.value.reason) == (422, "Unprocessable Entity")


def test_pages(api: Any, namespace: str) -> None:
    core = kubernetes.client.CoreV1Api(api)
    for number in range(25):
        core.create_namespaced_secret(namespace, {"metadata": {"name": f"s{number:02}"}})
    seen, token = [], None
    while True:
        page = core.list_namespaced_secret(namespace, limit=10, _continue=token)
        seen.append([item.metadata.name for item in page.items])
        token = page.metadata._continue
        if not token:
            break
        assert page.metadata.remaining_item_count == 25 - sum(map(len, seen))
    assert [len(names) for names in seen] == [10, 10, 5]
    assert [name for names in seen for name in names] == [f"s{number:02}" for number in range(25)]
    core.delete_collection_namespaced_secret(namespace, field_selector="metadata.name!=s07")
    assert [item.metadata.name for item in core.list_namespaced_secret(namespace).items] == ["s07"]


def test_errors(api: Any, namespace: str) -> None:
    core = kubernetes.client.CoreV1Api(api)

    def refused(call: Any, *arguments: Any, **options: Any) -> tuple[int, str, str]:
        with pytest.raises(kubernetes.client.ApiException) as error:
            call(*arguments, **options)
        status = json.loads(error.value.body)
        assert (status["kind"], status["code"]) == ("Status", error.value.status)
        return error.value.status, error.value.reason, status["reason"]

    assert refused(core.read_namespaced_pod, "nope", namespace) == (404, "Not Found", "NotFound")
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "c"}})
    again = {"metadata": {"name": "c"}}
    assert refused(core.create_namespaced_config_map, namespace, again) == (409, "Conflict", "AlreadyExists")
    bad = {"metadata": {"name": "B_"}}
    assert refused(core.create_namespaced_config_map, namespace, bad) == (422, "Unprocessable Entity", "Invalid")
    stale = {"metadata": {"name": "c", "resourceVersion": "1"}}
    assert refused(core.replace_namespaced_config_map, "c", namespace, stale) == (409, "Conflict", "Conflict")
    assert refused(core.list_namespaced_pod, namespace, label_selector="a===b") == (400, "Bad Request", "BadRequest")
    large = {"metadata": {"name": "large"}, "data": {"a": "x" * (10 << 20)}}
    assert refused(core.create_namespaced_config_map, namespace, large) == (
        413, "Request Entity Too Large", "RequestEntityTooLarge",
    )  # fmt: skip
    with pytest.raises(kubernetes.client.ApiException) as gone:
        for _ in kubernetes.watch.Watch().stream(core.list_namespaced_pod, namespace, resource_version="99999999"):
            pass
    assert gone.value.status == 410


def test_dynamic_client(api: Any, namespace: str) -> None:
    dynamic = kubernetes.dynamic.DynamicClient(api)
    maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
    made = maps.create(body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}},
                       namespace=namespace)  # fmt: skip
    assert made.data.a == "1"
    patched = maps.patch(
        name="c", namespace=namespace, body={"data": {"b": "2"}}, content_type="application/merge-patch+json"
    )
    assert patched.data.to_dict() == {"a": "1", "b": "2"}
    assert maps.get(name="c", namespace=namespace).metadata.uid == made.metadata.uid
    assert [item.metadata.name for item in maps.get(namespace=namespace, label_selector="!x").items].count("c") == 1
    for event in maps.watch(namespace=namespace, name="c", timeout=PATIENCE):
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "c")
        break
    maps.delete(name="c", namespace=namespace)
    with pytest.raises(kubernetes.dynamic.exceptions.NotFoundError):
        maps.get(name="c", namespace=namespace)
    kinds = {resource.kind for resource in dynamic.resources.search(group="apps", api_version="v1")}
    assert {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"} <= kinds
    scale = dynamic.resources.get(api_version="apps/v1", kind="Deployment").subresources["scale"]
    kubernetes.client.AppsV1Api(api).create_namespaced_deployment(namespace, deployment(replicas=0))
    assert scale.get(name="web", namespace=namespace).spec.to_dict() in ({}, {"replicas": 0})


def test_from_yaml(api: Any, namespace: str) -> None:
    objects = [{"apiVersion": "apps/v1", "kind": "Deployment", **deployment(replicas=0)},
               {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}]  # fmt: skip
    kubernetes.utils.create_from_yaml(api, yaml_objects=objects, namespace=namespace)
    with pytest.raises(kubernetes.utils.FailToCreateError):
        kubernetes.utils.create_from_yaml(api, yaml_objects=objects, namespace=namespace)


def test_a_watch_is_resumed(api: Any, namespace: str) -> None:
    core = kubernetes.client.CoreV1Api(api)
    version = core.list_namespaced_secret(namespace).metadata.resource_version
    for name in ("a", "b"):
        core.create_namespaced_secret(namespace, {"metadata": {"name": name}})
    core.delete_namespaced_secret("a", namespace)
    watch = kubernetes.watch.Watch()
    seen = []
    for event in watch.stream(
        core.list_namespaced_secret, namespace, resource_version=version, timeout_seconds=PATIENCE,
        allow_watch_bookmarks=True,
    ):  # fmt: skip
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 3:
            watch.stop()
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]


def test_an_operator(plane: ControlPlane, api: Any, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It marks the ConfigMaps it is told to, keeps a finalizer on them, counts Deployments' replicas, posts Events."""
    kopf = pytest.importorskip("kopf")
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    registry = kopf.OperatorRegistry()
    deleted: list[str] = []

    @kopf.on.startup(registry=registry)
    def configure(settings: Any, **_: Any) -> None:
        settings.posting.enabled = True
        settings.persistence.finalizer = "example.com/guard"

    @kopf.on.login(registry=registry)
    def log_in(**more: Any) -> Any:
        return kopf.login_with_kubeconfig(**more)

    @kopf.on.create("v1", "configmaps", labels={"mark": "yes"}, registry=registry)
    def mark(body: Any, patch: Any, **_: Any) -> None:
        patch.metadata.annotations["example.com/length"] = str(len(body["data"]["text"]))
        kopf.info(body, reason="Marked", message="counted its letters")

    @kopf.on.update("v1", "configmaps", labels={"mark": "yes"}, field="data.text", registry=registry)
    def again(new: str, patch: Any, **_: Any) -> None:
        patch.metadata.annotations["example.com/length"] = str(len(new))

    @kopf.on.delete("v1", "configmaps", labels={"mark": "yes"}, registry=registry)
    def forget(name: str, **_: Any) -> None:
        deleted.append(name)

    @kopf.on.field("apps", "v1", "deployments", field="spec.replicas", registry=registry)
    def count(new: int, patch: Any, **_: Any) -> None:
        patch.metadata.labels["replicas"] = str(new)

    core, apps = kubernetes.client.CoreV1Api(api), kubernetes.client.AppsV1Api(api)
    with running(kopf, registry, namespace):
        body = {"metadata": {"name": "c", "labels": {"mark": "yes"}}, "data": {"text": "four"}}
        core.create_namespaced_config_map(namespace, body)
        apps.create_namespaced_deployment(namespace, deployment(replicas=0))

        def annotation() -> Any:
            return core.read_namespaced_config_map("c", namespace).metadata

        eventually(lambda: (annotation().annotations or {}).get("example.com/length") == "4")
        assert annotation().finalizers == ["example.com/guard"]
        core.patch_namespaced_config_map("c", namespace, {"data": {"text": "seven77"}})
        eventually(lambda: annotation().annotations["example.com/length"] == "7")
        apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 2}})
        eventually(lambda: apps.read_namespaced_deployment("web", namespace).metadata.labels == {"replicas": "2"})
        eventually(lambda: core.list_namespaced_event(namespace, field_selector="reason=Marked").items != [])
        core.delete_namespaced_config_map("c", namespace)
        eventually(lambda: "c" not in [item.metadata.name for item in core.list_namespaced_config_map(namespace).items])
        assert set(deleted) == {"c"}  # kopf may tell it twice


@contextlib.contextmanager
def running(kopf: Any, registry: Any, namespace: str) -> Iterator[None]:
    ready, stop = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(
                kopf.operator(
                    registry=registry, namespaces=[namespace], standalone=True, ready_flag=ready, stop_flag=stop
                )
            )
        except Exception as error:  # noqa: BLE001 - the test looks at it
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(PATIENCE), failures
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert failures == []


def eventually(holds: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)
