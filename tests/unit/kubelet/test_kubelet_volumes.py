"""Volumes: what files they hold, how they change, what is refused and how that is said."""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubelet_world import Scenario, World

from wherry.api.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, SECRETS
from wherry.api.types import Obj
from wherry.kubelet.downward import NodeFacts
from wherry.kubelet.failures import StartFailure
from wherry.kubelet.volumes import atomic_writer, host_path, mounts, payload
from wherry.kubelet.volumes.atomic_writer import File

NODE = NodeFacts("node", "10.244.0.1", 2000, 4 << 30)
POD: Obj = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "1", "labels": {"b": "2", "a": 'x"y'}},
    "spec": {"containers": []},
}


def files(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir() if not path.name.startswith("..")}


def test_a_version_is_replaced_as_a_whole(tmp_path: Path) -> None:
    rng, volume = random.Random(1), tmp_path / "volume"
    assert atomic_writer.write(volume, {"a": File(b"1", 0o600), "dir/b": File(b"2", 0o644)}, 0, rng)
    first = os.readlink(volume / "..data")
    assert first.startswith("..1970_01_01_00_00_00.")
    assert (volume / "a").resolve() == volume / first / "a"
    assert (volume / "a").stat().st_mode & 0o777 == 0o600
    assert (volume / "dir" / "b").read_text() == "2"
    assert not atomic_writer.write(volume, {"a": File(b"1", 0o600), "dir/b": File(b"2", 0o644)}, 5, rng)
    assert atomic_writer.write(volume, {"a": File(b"3", 0o600)}, 5, rng)
    assert (volume / "a").read_text() == "3"
    assert sorted(path.name for path in volume.iterdir()) == sorted(["..data", "a", os.readlink(volume / "..data")])


@pytest.mark.parametrize("path", ["/a", "../a", "a/../../b", "..a", ""])
def test_paths_stay_inside(path: str, tmp_path: Path) -> None:
    with pytest.raises(atomic_writer.BadPath):
        atomic_writer.write(tmp_path / "volume", {path: File(b"", 0o644)}, 0, random.Random(1))


def build(volume: Obj, objects: dict[payload.Source, Obj | None] | None = None, **tokens: str) -> dict[str, File]:
    given = dict.fromkeys(payload.tokens(volume), "t")
    return payload.build(volume, payload.Ingredients(POD, NODE, "10.244.0.5", objects or {}, given))


def test_config_map_items_modes_and_binary_data() -> None:
    config = {"data": {"a": "1", "b": "2"}, "binaryData": {"c": base64.b64encode(b"\xff").decode()}}
    objects = {(CONFIG_MAPS, "x"): config}
    assert build({"configMap": {"name": "x", "defaultMode": 0o400}}, objects) == {
        "a": File(b"1", 0o400),
        "b": File(b"2", 0o400),
        "c": File(b"\xff", 0o400),
    }
    items = [{"key": "a", "path": "deep/a", "mode": 0o755}]
    assert build({"configMap": {"name": "x", "items": items}}, objects) == {"deep/a": File(b"1", 0o755)}


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "x"}}, 'configmap "x" not found'),
        ({"secret": {"secretName": "x"}}, 'secret "x" not found'),
        (
            {"configMap": {"name": "y", "items": [{"key": "k", "path": "p"}]}},
            "configmap references non-existent config key: k",
        ),
        (
            {"secret": {"secretName": "y", "items": [{"key": "k", "path": "p"}]}},
            "secret references non-existent secret key: k",
        ),
        (
            {"projected": {"sources": [{"configMap": {"name": "x"}}, {"secret": {"name": "x"}}]}},
            '[configmap "x" not found, secret "x" not found]',
        ),
    ],
)
def test_what_is_missing_is_named(volume: Obj, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        build(volume, {(CONFIG_MAPS, "y"): {}, (SECRETS, "y"): {}})
    assert str(caught.value) == message


def test_optional_sources_may_be_missing() -> None:
    assert build({"configMap": {"name": "x", "optional": True}}) == {}
    assert build({"projected": {"sources": [{"secret": {"name": "x", "optional": True}}]}}) == {}


def test_downward_api_formats_labels() -> None:
    items = [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "n", "fieldRef": {"fieldPath": "metadata.name"}},
    ]
    assert build({"downwardAPI": {"items": items}}) == {
        "labels": File(b'a="x\\"y"\nb="2"', 0o644),
        "n": File(b"web", 0o644),
    }


def test_host_path_types(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert host_path.prepare(str(tmp_path / "file"), "File") == tmp_path / "file"
    assert host_path.prepare(str(tmp_path / "new"), "DirectoryOrCreate").is_dir()
    assert host_path.prepare(str(tmp_path / "made"), "FileOrCreate").is_file()
    assert host_path.prepare(str(tmp_path / "file"), "") == tmp_path / "file"
    assert host_path.prepare(str(tmp_path / "absent" / "deep"), "").is_dir()
    for kind, noun in [("Directory", "a directory"), ("Socket", "a socket file"), ("BlockDevice", "a block device")]:
        with pytest.raises(ValueError) as caught:
            host_path.prepare(str(tmp_path / "file"), kind)
        assert str(caught.value) == f"hostPath type check failed: {tmp_path}/file is not {noun}"


def test_sub_paths(tmp_path: Path) -> None:
    volumes = {"data": mounts.Mountable(tmp_path)}
    container = {
        "name": "c",
        "volumeMounts": [{"name": "data", "mountPath": "/d", "subPathExpr": "pods/$(POD)", "readOnly": True}],
    }
    (mount,) = mounts.container_mounts(container, volumes, {"POD": "web-0"})
    assert mount.source == tmp_path / "pods" / "web-0"
    assert mount.source.is_dir()
    assert mount.readonly
    with pytest.raises(StartFailure, match='missing value for "POD"'):
        mounts.container_mounts(container, volumes, {})
    (tmp_path / "out").symlink_to("/etc")
    container = {"name": "c", "volumeMounts": [{"name": "data", "mountPath": "/d", "subPath": "out/passwd"}]}
    with pytest.raises(StartFailure, match="leads out of its volume"):
        mounts.container_mounts(container, volumes, {})


def _mounted(volume: Obj) -> dict[str, Any]:
    return {"volumes": [{"name": "v", **volume}]}


CONTAINER = {"name": "app", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}


def _directory(world: World, plugin: str) -> Path:
    pod = world.stored()
    assert pod is not None
    return world.directory / "pods" / pod["metadata"]["uid"] / "volumes" / plugin / "v"


def test_a_changed_config_map_shows_at_once(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        await world.config_map("settings", colour="red")
        async with world.running():
            await world.create("web", CONTAINER, **_mounted({"configMap": {"name": "settings"}}))
            await world.until(world.is_ready)
            directory = _directory(world, "kubernetes.io~configmap")
            assert files(directory) == {"colour": "red"}
            await world.config_map("settings", colour="green", size="2")
            assert await world.until(lambda: files(directory) == {"colour": "green", "size": "2"}) < 0.1

    play(scenario)


def test_a_missing_config_map_is_a_failed_mount_until_it_is_there(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create("web", CONTAINER, **_mounted({"configMap": {"name": "settings"}}))
            await world.until(lambda: len(world.events.messages("FailedMount")) == 3)
            text = 'MountVolume.SetUp failed for volume "v" : configmap "settings" not found'
            assert set(world.events.messages("FailedMount")) == {text}
            assert world.container()["state"]["waiting"]["reason"] == "ContainerCreating"
            await world.config_map("settings", a="1")
            assert await world.until(world.is_ready) < 0.1

    play(scenario)


def test_tokens_are_renewed_at_four_fifths_of_their_life(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        world.api.token_seconds = 1000
        source = {"projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 1000}}]}}
        async with world.running():
            await world.create("web", CONTAINER, **_mounted(source))
            await world.until(world.is_ready)
            directory = _directory(world, "kubernetes.io~projected")
            assert files(directory) == {"token": "token-1"}
            await world.wait(790)
            assert 5 < await world.until(lambda: files(directory) == {"token": "token-2"}) < 16
            await world.wait(790)
            world.api.faults = [ConnectionError("away")]
            await world.until(lambda: files(directory) == {"token": "token-3"})

    play(scenario)


def test_labels_in_a_downward_volume_follow_the_pod(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
        async with world.running():
            await world.create("web", CONTAINER, **_mounted({"downwardAPI": {"items": items}}))
            await world.until(world.is_ready)
            directory = _directory(world, "kubernetes.io~downward-api")
            await world.client.patch(PODS, "web", {"metadata": {"labels": {"tier": "front"}}}, "default")
            assert await world.until(lambda: files(directory) == {"labels": 'tier="front"'}) < 0.1

    play(scenario)


def test_claims_lead_to_their_directory(play: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        (world.directory / "data").mkdir()
        spec = {"hostPath": {"path": str(world.directory / "data")}}
        volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": spec}
        await world.client.create(PERSISTENT_VOLUMES, volume)
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "default"}}
        await world.client.create(
            PERSISTENT_VOLUME_CLAIMS, {**claim, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}}
        )
        async with world.running() as kubelet:
            await world.create("web", CONTAINER, **_mounted({"persistentVolumeClaim": {"claimName": "c"}}))
            await world.until(world.is_ready)
            pod = world.stored()
            assert pod is not None
            found = kubelet.parts.volumes.mounts(pod, CONTAINER, {})
            assert [mount.source for mount in found] == [world.directory / "data"]
            await world.delete()
            await world.until(lambda: world.stored() is None)
            assert (world.directory / "data").is_dir()

    play(scenario)


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        ({"nfs": {"server": "s", "path": "/"}}, 'volume type "nfs" is not supported on this node'),
        ({"csi": {"driver": "d"}}, 'volume type "csi" is not supported on this node'),
        ({"persistentVolumeClaim": {"claimName": "none"}}, 'persistentvolumeclaim "none" not found'),
        (
            {"projected": {"sources": [{"clusterTrustBundle": {}}]}},
            "projected volume source clusterTrustBundle is not supported on this node",
        ),
    ],
)
def test_what_is_not_supported_is_named(play: Callable[[Scenario], None], volume: Obj, text: str) -> None:
    async def scenario(world: World) -> None:
        async with world.running():
            await world.create("web", CONTAINER, **_mounted(volume))
            await world.until(lambda: bool(world.events.messages("FailedMount")))
            assert world.events.messages("FailedMount")[0] == f'MountVolume.SetUp failed for volume "v" : {text}'

    play(scenario)
