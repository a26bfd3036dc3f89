"""kr8s, unmodified, against a control plane process: objects by kind, by name, by selector; waits, scales, owners, new kinds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from client_world import deployment, namespace_of, widgets_of
from control_plane_process import ControlPlane

kr8s = pytest.importorskip("kr8s", reason="kr8s is not installed")
from kr8s.asyncio import objects  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:Kubernetes version .* is not supported:UserWarning"),
    pytest.mark.usefixtures("sockets_left"),
]
"""It knows releases up to 1.35 and warns about others."""


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    with namespace_of(plane, "kr8s") as name:
        yield name


@pytest.fixture
async def api(plane: ControlPlane, namespace: str) -> AsyncIterator[Any]:
    made = await kr8s.asyncio.api(kubeconfig=str(plane.kubeconfig), namespace=namespace)
    yield made
    await made._session.aclose()


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"t": name}}, "data": data}


async def named(api: Any, kind: str, *names: str, **how: Any) -> list[str]:
    return [each.name async for each in api.get(kind, *names, **how)]


async def test_objects(api: Any, namespace: str) -> None:
    assert (await api.version())["minor"] == "36"
    assert await api.whoami() == "kubernetes-admin"
    await api.create([await objects.ConfigMap(config_map(name, x="1"), api=api) for name in ("a", "b")])
    assert await named(api, "configmaps", "a") == ["a"]
    assert await named(api, "cm", label_selector={"t": "b"}) == ["b"]
    assert await named(api, "ConfigMap", field_selector={"metadata.name": "a"}) == ["a"]
    assert set(await named(api, "cm", namespace=kr8s.ALL, label_selector="t in (a,b)")) >= {"a", "b"}
    found = await objects.ConfigMap.get("a", api=api)
    await found.patch({"data": {"y": "2"}})
    assert dict(found.data) == {"x": "1", "y": "2"}
    await found.patch([{"op": "remove", "path": "/data/x"}], type="json")
    assert dict(found.data) == {"y": "2"}
    await found.label({"more": "yes"})
    await found.annotate({"note": "kept"})
    await found.remove_label("t")
    await found.refresh()
    assert (dict(found.labels), dict(found.annotations)) == ({"more": "yes"}, {"note": "kept"})
    with pytest.raises(kr8s.ServerError, match="already exists") as again:
        await (await objects.ConfigMap(config_map("a"), api=api)).create()
    assert again.value.response.status_code == 409
    await found.delete()
    assert not await found.exists()
    with pytest.raises(kr8s.NotFoundError):
        await found.refresh()


async def test_waits_and_scales(api: Any) -> None:
    web = await objects.Deployment(deployment(replicas=0), api=api)
    await web.create()
    await web.wait("condition=Available", timeout=60)
    await web.patch({"spec": {"paused": True}})
    await web.patch({"spec": {"replicas": 2}}, subresource="scale")
    await web.refresh()
    assert web.replicas == 2
    await web.patch({"spec": {"paused": False}})
    await web.wait("condition=Available=False", timeout=60)
    pods: list[Any] = []
    async with asyncio.timeout(60):  # it is unavailable before it has pods
        while len(pods) < 2:
            pods = [each async for each in api.get("pods", label_selector={"app": "web"})]
    assert [each.status.phase for each in pods] == ["Pending", "Pending"]
    await web.delete(propagation_policy="Foreground")
    await web.wait("delete", timeout=60)


async def test_a_watch(api: Any) -> None:
    made = await objects.ConfigMap(config_map("a", x="1"), api=api)
    await made.create()
    seen = []
    async for event, each in api.watch("configmaps", field_selector={"metadata.name": "a"}):
        seen.append((event, dict(each.data)))
        if event == "DELETED":
            break
        await (made.patch({"data": {"x": "2"}}) if event == "ADDED" else made.delete())
    assert seen == [("ADDED", {"x": "1"}), ("MODIFIED", {"x": "2"}), ("DELETED", {"x": "2"})]


async def test_owners(api: Any) -> None:
    parent, child = [await objects.ConfigMap(config_map(name), api=api) for name in ("parent", "child")]
    await parent.create()
    await child.create()
    await parent.adopt(child)
    assert child.metadata.ownerReferences[0].uid == parent.metadata.uid
    await parent.delete()
    await child.wait("delete", timeout=60)


async def test_a_new_kind(plane: ControlPlane, api: Any, namespace: str) -> None:
    group = f"{namespace}.example.com"
    assert await named(api, "configmaps", "nothing") == []  # it has read what there is, and must read again
    with widgets_of(plane, group):
        resources = await api.async_api_resources_uncached()
        assert [each["kind"] for each in resources if each["version"] == f"{group}/v1"] == ["Widget"]
        kind = objects.new_class(
            kind="Widget", version=f"{group}/v1", namespaced=True, scalable=True, scalable_spec="size"
        )
        body = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"colour": "red"}}
        widget = await kind(body, api=api)
        await widget.create()
        assert dict(widget.spec) == {"colour": "red", "size": 1}
        await widget.patch({"spec": {"replicas": 3}}, subresource="scale")
        await widget.patch({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, subresource="status")
        await widget.wait("condition=Ready", timeout=60)
        assert (widget.spec.size, widget.status.conditions[0].type) == (3, "Ready")
        assert await named(api, f"widgets.{group}") == ["w"]
        await widget.delete()
        assert await named(api, f"widgets.{group}") == []


async def test_nodes(plane: ControlPlane, api: Any, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": namespace}}
    node = await objects.Node(body, api=api)
    await node.create()
    await node.cordon()
    await node.taint("a", "b", effect="NoSchedule")
    assert node.unschedulable
    assert {"a"} <= {each.key for each in node.taints}
    await node.uncordon()
    assert not node.unschedulable
    await node.delete()
