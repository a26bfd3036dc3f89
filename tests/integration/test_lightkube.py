"""lightkube, unmodified, against a control plane process: typed and generic resources, both of its clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from client_world import deployment, eventually, namespace_of, widgets_of
from control_plane_process import ControlPlane

lightkube = pytest.importorskip("lightkube", reason="lightkube is not installed")
from lightkube import codecs, generic_resource, operators  # noqa: E402
from lightkube.models.core_v1 import ServicePort, ServiceSpec  # noqa: E402
from lightkube.models.meta_v1 import ObjectMeta  # noqa: E402
from lightkube.resources.apps_v1 import Deployment  # noqa: E402
from lightkube.resources.core_v1 import ConfigMap, Node, Secret, Service  # noqa: E402
from lightkube.types import CascadeType, PatchType  # noqa: E402


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    with namespace_of(plane, "lightkube") as name:
        yield name


@pytest.fixture
def config(plane: ControlPlane) -> Any:
    return lightkube.KubeConfig.from_file(plane.kubeconfig)


@pytest.fixture
def client(config: Any, namespace: str) -> Iterator[Any]:
    with lightkube.Client(config, namespace=namespace, field_manager="lightkube") as made:
        yield made


def config_map(name: str, **data: str) -> Any:
    return ConfigMap(metadata=ObjectMeta(name=name, labels={"t": name[0]}), data=data)


def test_typed_objects(client: Any, namespace: str) -> None:
    made = client.create(config_map("a", x="1"))
    assert (made.metadata.namespace, made.data, made.metadata.uid != "") == (namespace, {"x": "1"}, True)
    made.data["y"] = "2"
    assert client.replace(made).data == {"x": "1", "y": "2"}
    with pytest.raises(lightkube.ApiError) as stale:
        client.replace(made)
    assert (stale.value.status.code, stale.value.status.reason) == (409, "Conflict")
    client.create(config_map("b", x="1"))
    assert client.set(ConfigMap, "b", annotations={"n": "1"}).metadata.annotations == {"n": "1"}
    assert [each.metadata.name for each in client.list(ConfigMap, labels={"t": operators.in_(["a", "b"])})] == [
        "a",
        "b",
    ]
    named = client.list(ConfigMap, fields={"metadata.name": operators.not_equal("a")}, labels={"t": operators.exists()})
    assert [each.metadata.name for each in named] == ["b"]
    client.delete(ConfigMap, "a")
    with pytest.raises(lightkube.ApiError) as gone:
        client.get(ConfigMap, "a")
    assert gone.value.status.code == 404
    client.deletecollection(ConfigMap)
    assert list(client.list(ConfigMap, labels={"t": operators.exists()})) == []
    assert list(client.list(Node)) == []


def test_pages_and_dry_run(client: Any) -> None:
    for number in range(7):
        client.create(Secret(metadata=ObjectMeta(name=f"s{number}")))
    client.create(Secret(metadata=ObjectMeta(name="never")), dry_run=True)
    assert [each.metadata.name for each in client.list(Secret, chunk_size=3)] == [f"s{number}" for number in range(7)]


def test_patches_and_apply(client: Any) -> None:
    client.create(Deployment.from_dict(deployment(replicas=0)))
    container = {"name": "c", "env": [{"name": "A", "value": "1"}]}
    strategic = client.patch(Deployment, "web", {"spec": {"template": {"spec": {"containers": [container]}}}})
    assert strategic.spec.template.spec.containers[0].image == "i"
    operations = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "j"}]
    assert (
        client.patch(Deployment, "web", operations, patch_type=PatchType.JSON).spec.template.spec.containers[0].image
        == "j"
    )
    merge = {"metadata": {"labels": {"app": None}}}
    assert not client.patch(Deployment, "web", merge, patch_type=PatchType.MERGE).metadata.labels

    spec = ServiceSpec(ports=[ServicePort(port=80, name="http")], selector={"app": "web"})
    service = Service(apiVersion="v1", kind="Service", metadata=ObjectMeta(name="web"), spec=spec)
    assert client.apply(service).spec.ports[0].targetPort == 80
    other = ServiceSpec(ports=[ServicePort(port=80, name="https")])
    mine = Service(apiVersion="v1", kind="Service", metadata=ObjectMeta(name="web"), spec=other)
    with pytest.raises(lightkube.ApiError, match='conflict with "lightkube"') as conflict:
        client.apply(mine, field_manager="other")
    assert (conflict.value.status.code, conflict.value.status.reason) == (409, "Conflict")
    forced = client.apply(mine, field_manager="other", force=True)
    assert {each.manager for each in forced.metadata.managedFields} == {"lightkube", "other"}
    # Its controller's last word; else it may be said between the next two.
    eventually(lambda: (found := client.get(Deployment, "web")).status.observedGeneration == found.metadata.generation)
    scale = client.get(Deployment.Scale, "web")
    scale.spec.replicas = 1
    assert client.replace(scale).spec.replicas == 1


def test_a_watch_and_a_wait(client: Any) -> None:
    client.create(Deployment.from_dict(deployment(replicas=0)))
    found = client.wait(Deployment, "web", for_conditions=["Available"], raise_for_conditions=["ReplicaFailure"])
    assert found.status.observedGeneration == 1
    client.create(config_map("w", x="1"))
    seen = []
    for event, each in client.watch(ConfigMap, labels={"t": "w"}):
        seen.append((event, each.data))
        if event == "ADDED":
            client.patch(ConfigMap, "w", {"data": {"x": "2"}})
        elif event == "MODIFIED":
            client.delete(ConfigMap, "w")
        else:
            break
    assert seen == [("ADDED", {"x": "1"}), ("MODIFIED", {"x": "2"}), ("DELETED", {"x": "2"})]


def test_generic_resources(plane: ControlPlane, client: Any, namespace: str) -> None:
    group = f"{namespace}.example.com"
    with widgets_of(plane, group) as definition:
        body = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"colour": "red"}}
        text = f"{json.dumps(definition)}\n---\n{json.dumps(body)}\n"
        _, widget = codecs.load_all_yaml(text, create_resources_for_crds=True)
        kind = generic_resource.get_generic_resource(f"{group}/v1", "Widget")
        assert client.create(widget).spec == {"colour": "red", "size": 1}
        status = kind.Status(metadata=ObjectMeta(name="w"), status={"phase": "Ready"})
        assert client.patch(kind.Status, "w", status, patch_type=PatchType.MERGE).status == {"phase": "Ready"}
        assert client.get(kind, "w").status == {"phase": "Ready"}
        scale = client.get(kind.Scale, "w")
        scale.spec.replicas = 4
        client.replace(scale)
        applied = client.apply(kind(apiVersion=f"{group}/v1", kind="Widget", metadata=ObjectMeta(name="w"),
                                    spec={"colour": "blue"}), force=True)  # fmt: skip
        assert applied.spec == {"colour": "blue", "size": 4}
        generic_resource.load_in_cluster_generic_resources(client)
        client.delete(kind, "w", cascade=CascadeType.FOREGROUND)
        eventually(lambda: list(client.list(kind)) == [])


@pytest.mark.usefixtures("sockets_left")
async def test_the_asynchronous_client(config: Any, namespace: str) -> None:
    client = lightkube.AsyncClient(config, namespace=namespace)
    try:
        made = await client.create(config_map("a", x="1"))
        await client.replace(config_map("a", x="2"))
        seen = []
        async for event, each in client.watch(
            ConfigMap, labels={"t": "a"}, resource_version=made.metadata.resourceVersion
        ):
            seen.append((event, each.data))
            if event == "DELETED":
                break
            await client.delete(ConfigMap, "a")
        assert seen == [("MODIFIED", {"x": "2"}), ("DELETED", {"x": "2"})]
        assert [each.metadata.name async for each in client.list(ConfigMap, labels={"t": "a"})] == []
    finally:
        await client.close()
