"""Images from a registry on loopback: the ways in, and what is said when there is none."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import os
import socket
import tarfile
from collections.abc import AsyncIterator

import pytest
from registry import INDEX, MANIFEST, Registry, digest_of

from wherry.cri.image_service import StoreImageService
from wherry.cri.interface import RegistryAuth, RuntimeFailure
from wherry.images.platform import architecture
from wherry.images.pull import PullFailure, pull
from wherry.images.reference import Reference
from wherry.images.store import ImageStore

LOGIN = ("user", "secret")
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@pytest.fixture(autouse=True)
def no_settings(tmp_path, monkeypatch):
    """This machine's own logins and registries are not ours to test with."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "WHERRY_DEFAULT_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "none"))


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    registry = Registry()
    await registry.start()
    yield registry
    await registry.stop()


@pytest.fixture
def store(tmp_path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def layer(name: str, content: bytes) -> tuple[bytes, str]:
    """A gzip layer with one file, and its diff id."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0), digest_of(buffer.getvalue())


def push(
    registry: Registry,
    repository: str = "team/web",
    tag: str = "v1",
    layers: int = 2,
    kind: str = MANIFEST,
    salt: str = "",
) -> dict[str, object]:
    """An image with a file per layer; the manifest's descriptor."""
    made = [layer(f"file{number}", f"{repository} {number}{salt}".encode()) for number in range(layers)]
    config = {
        "architecture": architecture(),
        "os": "linux",
        "config": {"Cmd": ["serve", salt]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in made]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": registry.put_blob(json.dumps(config).encode()),
        "layers": [{"mediaType": DOCKER_LAYER, **registry.put_blob(data)} for data, _ in made],
    }
    return registry.put_manifest(repository, tag, manifest, kind)


def push_index(registry: Registry, tag: str, kind: str, *platforms: tuple[str, dict[str, object]]) -> dict[str, object]:
    manifests = [
        {**descriptor, "platform": {"os": "linux", "architecture": machine}} for machine, descriptor in platforms
    ]
    content = {"schemaVersion": 2, "mediaType": kind, "manifests": manifests}
    return registry.put_manifest("team/web", tag, content, kind)


async def fetch(store: ImageStore, name: str, **logins: tuple[str, str]) -> str:
    return await pull(store, Reference.parse(name), {host.replace("_", "."): login for host, login in logins.items()})


async def test_an_image_comes_once_and_is_known_by_its_name(registry, store):
    descriptor = push(registry)
    name = f"{registry.host}/team/web:v1"
    assert await fetch(store, name) == descriptor["digest"]
    image = store.image(name)
    assert image is not None
    assert image.config["Cmd"] == ["serve", ""]
    assert [os.listdir(each) for each in image.rootfs.layers] == [["file1"], ["file0"]]
    before = registry.requests.copy()
    await fetch(store, name)
    again = registry.requests - before
    assert [path for path in again if "blobs" in path] == []


@pytest.mark.parametrize(("kind", "manifest"), [(INDEX, MANIFEST), (DOCKER_LIST, DOCKER_MANIFEST)])
async def test_of_a_list_this_machines_variant_is_taken(registry, store, kind, manifest):
    ours = push(registry, tag="ours", kind=manifest)
    other = push(registry, tag="other", kind=manifest, salt="mips")
    index = push_index(registry, "v1", kind, ("mips", other), (architecture(), ours))
    assert await fetch(store, f"{registry.host}/team/web:v1") == ours["digest"]
    by_digest = f"{registry.host}/team/web@{index['digest']}"
    assert await fetch(store, by_digest) == ours["digest"]
    assert store.find(by_digest) == ours["digest"]
    assert store.find(f"{registry.host}/team/web@{ours['digest']}") == ours["digest"]


async def test_a_list_without_this_machine_says_what_it_has(registry, store):
    push_index(registry, "v1", INDEX, ("mips", push(registry)), ("s390x", push(registry)))
    with pytest.raises(
        PullFailure, match=f"no variant for linux/{architecture()}; the image has linux/mips, linux/s390x"
    ):
        await fetch(store, f"{registry.host}/team/web:v1")


async def test_content_that_is_not_what_its_digest_says_never_gets_in(registry, store):
    push(registry)
    digest = list(registry.blobs)[-1]
    registry.broken.add(digest)
    with pytest.raises(PullFailure, match=f"expected a blob with digest {digest}"):
        await fetch(store, f"{registry.host}/team/web:v1")
    assert not store.has(digest)
    assert store.names() == {}
    assert not os.listdir(store.root / "tmp")
    registry.broken.clear()
    await fetch(store, f"{registry.host}/team/web:v1")


async def test_a_manifest_that_is_not_what_was_asked_for(registry, store):
    descriptor = push(registry)
    reference = f"team/web@{descriptor['digest']}"
    registry.manifests[reference] = (MANIFEST, b"{}")
    with pytest.raises(PullFailure, match="expected a manifest with digest"):
        await fetch(store, f"{registry.host}/{reference}")


async def test_a_blob_larger_than_announced_is_not_read_to_its_end(registry, store):
    descriptor = push(registry)
    kind, data = registry.manifests["team/web:v1"]
    manifest = json.loads(data)
    manifest["layers"][0]["size"] = 3
    registry.put_manifest("team/web", "v1", manifest, kind)
    assert descriptor["digest"] != registry.manifests["team/web:v1"]
    with pytest.raises(PullFailure, match="larger than the 3 bytes announced"):
        await fetch(store, f"{registry.host}/team/web:v1")


async def test_a_connection_that_breaks(registry, store):
    push(registry)
    registry.cut.add(list(registry.blobs)[-1])
    with pytest.raises(PullFailure, match=r"127\.0\.0\.1:\d+: the connection broke while a layer came"):
        await fetch(store, f"{registry.host}/team/web:v1")
    assert not os.listdir(store.root / "tmp")


async def test_what_is_not_there(registry, store):
    push(registry)
    with pytest.raises(PullFailure, match=rf"{registry.host} has no team/web v2: not found"):
        await fetch(store, f"{registry.host}/team/web:v2")
    del registry.blobs[list(registry.blobs)[-1]]
    with pytest.raises(PullFailure, match="not found"):
        await fetch(store, f"{registry.host}/team/web:v1")


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"<html>", "text/html", "not JSON"),
        (b"[]", MANIFEST, "not a JSON object"),
        (
            b'{"schemaVersion": 1}',
            "application/vnd.docker.distribution.manifest.v1+json",
            "only OCI and Docker schema 2",
        ),
        (b'{"schemaVersion": 2}', MANIFEST, "no config and layers"),
        (b" " * (5 << 20), MANIFEST, "larger than 4 MiB"),
    ],
    ids=["html", "list", "schema 1", "empty", "large"],
)
async def test_what_is_no_image(registry, store, content, kind, message):
    registry.put_manifest("team/web", "v1", content, kind)
    with pytest.raises(PullFailure, match=message):
        await fetch(store, f"{registry.host}/team/web:v1")


@pytest.mark.parametrize("auth", ["basic", "bearer"])
async def test_a_login_opens(registry, store, auth):
    registry.auth = auth
    push(registry)
    digest = await pull(store, Reference.parse(f"{registry.host}/team/web:v1"), {f"https://{registry.host}/v1/": LOGIN})
    assert store.has(digest)


@pytest.mark.parametrize("auth", ["basic", "bearer"])
@pytest.mark.parametrize("login", [None, ("user", "wrong")])
async def test_without_the_right_login_the_error_says_what_to_do(registry, store, auth, login):
    registry.auth = auth
    push(registry)
    with pytest.raises(PullFailure, match="pull access denied") as caught:
        await pull(store, Reference.parse(f"{registry.host}/team/web:v1"), {registry.host: login} if login else {})
    assert registry.host in str(caught.value)
    assert "imagePullSecret" in str(caught.value)
    assert "wrong" not in str(caught.value)


async def test_public_images_behind_a_token_service(registry, store):
    registry.auth, registry.anonymous = "bearer", True
    push(registry, layers=4)
    await fetch(store, f"{registry.host}/team/web:v1")
    assert registry.requests["/token"] == 1


@pytest.mark.parametrize("auth", ["basic", "bearer"])
async def test_logins_of_this_machine(registry, store, tmp_path, auth):
    registry.auth = auth
    push(registry)
    config = tmp_path / "home" / ".docker" / "config.json"
    config.parent.mkdir(parents=True)
    encoded = base64.b64encode(b"user:secret").decode()
    config.write_text(json.dumps({"auths": {f"http://{registry.host}": {"auth": encoded}}}))
    await fetch(store, f"{registry.host}/team/web:v1")


async def test_a_stored_identity_token(registry, store, tmp_path, monkeypatch):
    registry.auth = "bearer"
    push(registry)
    file = tmp_path / "auth.json"
    file.write_text(json.dumps({"auths": {registry.host: {"identitytoken": "identity"}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
    await fetch(store, f"{registry.host}/team/web:v1")


async def test_a_credential_helper(registry, store, tmp_path, monkeypatch):
    registry.auth = "basic"
    push(registry)
    helper = tmp_path / "docker-credential-test"
    helper.write_text(
        f'#!/bin/sh\nread host; [ "$host" = "{registry.host}" ] || exit 1\n'
        'echo \'{"Username":"user","Secret":"secret"}\'\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "test"}))
    await fetch(store, f"{registry.host}/team/web:v1")


async def test_a_login_is_not_carried_to_where_blobs_are_moved(registry, store):
    registry.auth = "basic"
    push(registry)
    elsewhere = Registry(blobs=registry.blobs)
    await elsewhere.start()
    registry.redirect = f"http://{elsewhere.host}"
    await pull(store, Reference.parse(f"{registry.host}/team/web:v1"), {registry.host: LOGIN})
    assert elsewhere.authorizations
    assert set(elsewhere.authorizations) == {""}
    await elsewhere.stop()


async def test_a_name_without_a_host(registry, store, monkeypatch):
    with pytest.raises(PullFailure, match="WHERRY_DEFAULT_REGISTRY"):
        await fetch(store, "team/web:v1")
    monkeypatch.setenv("WHERRY_DEFAULT_REGISTRY", registry.host)
    push(registry)
    await fetch(store, "team/web:v1")
    assert store.image("team/web:v1") is not None
    with pytest.raises(PullFailure, match="its name has no tag"):
        await fetch(store, "team/web")


async def test_offline_says_which_host_and_why(store):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(PullFailure, match=f"{host} cannot be reached: Connection refused"):
            await fetch(store, f"{host}/team/web:v1")
    with pytest.raises(PullFailure, match=r"registry\.invalid cannot be reached: .+"):
        await fetch(store, "registry.invalid/team/web:v1")


async def test_pods_that_want_the_same_image_share_one_pull(registry, store):
    push(registry)
    service = StoreImageService(store)
    name = f"{registry.host}/team/web:v1"
    assert await service.image_status(name) is None
    images = await asyncio.gather(*(service.pull_image(name, {}) for _ in range(10)))
    assert len({image.id for image in images}) == 1
    assert registry.requests[f"/v2/team/web/manifests/{'v1'}"] == 1
    assert await service.image_status(name) == images[0]
    assert [image.names for image in await service.list_images()] == [(name,)]
    await service.remove_image(name)
    assert await service.image_status(name) is None


async def test_what_only_the_local_store_has_is_there_whatever_the_pull_policy(registry, store, monkeypatch):
    push(registry)
    service = StoreImageService(store)
    store.tag("built:v1", await fetch(store, f"{registry.host}/team/web:v1"))
    assert "built:v1" in (await service.pull_image("built:v1", {})).names
    assert (await service.pull_image("wherry.dev/host:v1", {})).rootfs.host
    with pytest.raises(RuntimeFailure, match="its name has no registry host"):
        await service.pull_image("other:v1", {})


async def test_a_pod_that_goes_away_does_not_stop_the_pull_of_another(registry, store):
    push(registry)
    service = StoreImageService(store)
    name = f"{registry.host}/team/web:v1"
    first = asyncio.ensure_future(service.pull_image(name, {}))
    second = asyncio.ensure_future(service.pull_image(name, {}))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).names == (name,)


async def test_failures_have_the_kubelets_reasons(registry, store):
    registry.auth = "basic"
    push(registry)
    service = StoreImageService(store)
    for name, reason in (("Bad Name", "InvalidImageName"), (f"{registry.host}/team/web:v1", "ErrImagePull")):
        with pytest.raises(RuntimeFailure) as caught:
            await service.pull_image(name, {})
        assert caught.value.reason == reason
    with pytest.raises(RuntimeFailure, match='couldn\'t parse image name "Bad Name": invalid reference format'):
        await service.image_status("Bad Name")
    login = {registry.host: RegistryAuth("user", "secret")}
    assert (await service.pull_image(f"{registry.host}/team/web:v1", login)).config["Cmd"] == ["serve", ""]
