"""The official Python client, unmodified: typed CRUD, patches, watches, errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_server import ApiServer

kubernetes = pytest.importorskip("kubernetes", reason="the official client is not installed")


@pytest.fixture(scope="module")
def api_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with ApiServer(tmp_path_factory.mktemp("api"), "--controllers") as server:
        client = kubernetes.config.new_client_from_config(str(server.kubeconfig))
        yield client
        client.close()
        client.rest_client.pool_manager.clear()


def config_map(name: str, **data: str) -> Any:
    return kubernetes.client.V1ConfigMap(
        metadata=kubernetes.client.V1ObjectMeta(name=name, labels={"t": "x"}), data=data
    )


def test_crud_and_watch(api_client: Any) -> None:
    core = kubernetes.client.CoreV1Api(api_client)
    created = core.create_namespaced_config_map("default", config_map("one", a="1"))
    assert created.metadata.uid
    read = core.read_namespaced_config_map("one", "default")
    read.data = {"a": "2"}
    replaced = core.replace_namespaced_config_map("one", "default", read)
    assert replaced.data == {"a": "2"}
    with pytest.raises(kubernetes.client.ApiException) as conflict:
        core.replace_namespaced_config_map("one", "default", created)
    assert conflict.value.status == 409
    patched = core.patch_namespaced_config_map("one", "default", {"data": {"b": "3"}})
    assert patched.data == {"a": "2", "b": "3"}

    watch = kubernetes.watch.Watch()
    stream = watch.stream(
        core.list_namespaced_config_map,
        "default",
        label_selector="t=x",
        resource_version=created.metadata.resource_version,
        timeout_seconds=60,
    )
    seen = []
    for event in stream:
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 2:
            core.delete_namespaced_config_map("one", "default")
        if event["type"] == "DELETED":
            watch.stop()
    assert seen == [("MODIFIED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]
    with pytest.raises(kubernetes.client.ApiException) as missing:
        core.read_namespaced_config_map("one", "default")
    assert missing.value.status == 404


def test_workloads_dynamic_client_and_access(api_client: Any) -> None:
    apps = kubernetes.client.AppsV1Api(api_client)
    body = {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    }
    apps.create_namespaced_deployment("default", body)
    apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 2}})
    assert apps.read_namespaced_deployment_scale("web", "default").spec.replicas == 2
    dynamic = kubernetes.dynamic.DynamicClient(api_client)
    deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    assert [each.metadata.name for each in deployments.get(namespace="default").items] == ["web"]
    authorization = kubernetes.client.AuthorizationV1Api(api_client)
    review = authorization.create_self_subject_access_review(
        {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}}
    )
    assert review.status.allowed
    version = kubernetes.client.VersionApi(api_client).get_code()
    assert version.minor == "36"
