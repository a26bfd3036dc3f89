"""The official client's dynamic side and a kopf operator with a kind of its own, unmodified, against a control plane process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from control_plane_process import ControlPlane

kubernetes = pytest.importorskip("kubernetes", reason="the official client is not installed")
pytestmark = pytest.mark.usefixtures("sockets_left")
PATIENCE = 60
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {"field": {"type": "string"}, "items": {"type": "integer", "default": 2}},
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


@pytest.fixture(scope="module")
def api(plane: ControlPlane) -> Iterator[Any]:
    client = kubernetes.config.new_client_from_config(str(plane.kubeconfig))
    yield client
    client.close()
    client.rest_client.pool_manager.clear()


@pytest.fixture
def namespace(api: Any) -> Iterator[str]:
    core = kubernetes.client.CoreV1Api(api)
    name = core.create_namespace({"metadata": {"generateName": "custom-"}}).metadata.name
    yield name
    core.delete_namespace(name)


@pytest.fixture
def group(api: Any, namespace: str) -> Iterator[str]:
    """A group with one kind, Claim, defined until the test ends."""
    client, name = kubernetes.client, f"{namespace}.example.com"
    definitions = client.ApiextensionsV1Api(api)
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": SCHEMA},
        "subresources": {"status": {}},
    }
    names = {"plural": "claims", "kind": "Claim"}
    body = {"group": name, "scope": "Namespaced", "names": names, "versions": [version]}
    definitions.create_custom_resource_definition({"metadata": {"name": f"claims.{name}"}, "spec": body})

    def established() -> bool:
        found = definitions.read_custom_resource_definition(f"claims.{name}").status.conditions or ()
        return any((each.type, each.status) == ("Established", "True") for each in found)

    eventually(established)
    yield name
    definitions.delete_custom_resource_definition(f"claims.{name}")


def test_the_dynamic_client_finds_a_kind_at_once(api: Any, namespace: str, group: str) -> None:
    dynamic = kubernetes.dynamic.DynamicClient(api)
    claims = dynamic.resources.get(api_version=f"{group}/v1", kind="Claim")
    body = {"apiVersion": f"{group}/v1", "kind": "Claim", "metadata": {"name": "c"}, "spec": {"field": "x"}}
    assert claims.create(body=body, namespace=namespace).spec.to_dict() == {"field": "x", "items": 2}
    merge = "application/merge-patch+json"
    claims.status.patch(name="c", namespace=namespace, body={"status": {"phase": "Bound"}}, content_type=merge)
    applied = {**body, "spec": {"items": 3}}
    claims.server_side_apply(body=applied, name="c", namespace=namespace, field_manager="test", force_conflicts=True)
    found = claims.get(name="c", namespace=namespace)
    assert (found.spec.to_dict(), found.status.phase) == ({"field": "x", "items": 3}, "Bound")
    for event in claims.watch(namespace=namespace, timeout=PATIENCE):
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "c")
        break
    custom = kubernetes.client.CustomObjectsApi(api)
    listed = custom.list_namespaced_custom_object(group, "v1", namespace, "claims")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["c"]
    custom.delete_namespaced_custom_object(group, "v1", namespace, "claims", "c")
    with pytest.raises(kubernetes.dynamic.exceptions.NotFoundError):
        claims.get(name="c", namespace=namespace)


def test_an_operator_of_its_own_kind(
    plane: ControlPlane, api: Any, namespace: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes a ConfigMap for each object, owned by it, and tells what it did in the object's status."""
    kopf = pytest.importorskip("kopf")
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    registry = kopf.OperatorRegistry()
    core, custom = kubernetes.client.CoreV1Api(api), kubernetes.client.CustomObjectsApi(api)

    @kopf.on.login(registry=registry)
    def log_in(**more: Any) -> Any:
        return kopf.login_with_kubeconfig(**more)

    @kopf.on.create(group, "v1", "claims", id="create", registry=registry)
    def create(spec: Any, name: str, **_: Any) -> dict[str, str]:
        child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"field": spec["field"]}}
        kopf.adopt(child)
        core.create_namespaced_config_map(namespace, child)
        return {"made": name}

    @kopf.on.field(group, "v1", "claims", field="spec.field", registry=registry)
    def follow(new: Any, name: str, **_: Any) -> None:
        core.patch_namespaced_config_map(name, namespace, {"data": {"field": new}})

    def field() -> Any:
        found = core.list_namespaced_config_map(namespace, field_selector="metadata.name=mine").items
        return found[0].data["field"] if found else None

    where = (group, "v1", namespace, "claims")
    with operator(kopf, registry, namespace):
        body = {"apiVersion": f"{group}/v1", "kind": "Claim", "metadata": {"name": "mine"}, "spec": {"field": "a"}}
        custom.create_namespaced_custom_object(*where, body)
        eventually(lambda: field() == "a")
        eventually(
            lambda: custom.get_namespaced_custom_object(*where, "mine").get("status", {}).get("create") is not None
        )
        custom.patch_namespaced_custom_object(*where, "mine", {"spec": {"field": "b"}})
        eventually(lambda: field() == "b")
        custom.delete_namespaced_custom_object(*where, "mine")
        eventually(lambda: field() is None)  # the garbage collector follows the kind


@contextlib.contextmanager
def operator(kopf: Any, registry: Any, namespace: str) -> Iterator[None]:
    """Running in a thread while the block lasts."""
    ready, stop = threading.Event(), threading.Event()

    def run() -> None:
        flags = {"ready_flag": ready, "stop_flag": stop}
        asyncio.run(kopf.operator(registry=registry, namespaces=[namespace], standalone=True, **flags))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def eventually(holds: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)
