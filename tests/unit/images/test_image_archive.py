"""Images as files: out and in again, the forms of other tools, and damage."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile

import pytest
from image_samples import config_of, digest, entry, link, make_image, tar

from wherry.images import archive
from wherry.images.archive import ArchiveError
from wherry.images.platform import architecture
from wherry.images.reference import InvalidReference
from wherry.images.store import ImageStore


@pytest.fixture
def store(tmp_path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.fixture
def other(tmp_path) -> ImageStore:
    return ImageStore(tmp_path / "other")


def saved(store: ImageStore, *names: str) -> bytes:
    buffer = io.BytesIO()
    archive.save(store, names, buffer)
    return buffer.getvalue()


def two_images(store: ImageStore) -> tuple[str, str]:
    shared = [entry("base", b"shared")]
    first = make_image(store, shared, [entry("a", b"1")], Cmd=["a"])
    second = make_image(store, shared, [entry("b", b"2")], compressed=True, Cmd=["b"])
    store.tag("shop/a:v1", first)
    store.tag("b:v2", second)
    return first, second


@pytest.mark.parametrize("form", ["tar", "compressed", "pipe", "folder"])
def test_out_and_in_again(store, other, tmp_path, form):
    first, second = two_images(store)
    data = saved(store, "shop/a:v1", "b:v2")
    if form == "folder":
        archive.save_layout(store, ["shop/a:v1", "b:v2"], tmp_path / "layout")
        found = archive.load(other, tmp_path / "layout")
    elif form == "pipe":
        found = archive.load(other, io.BufferedReader(io.BytesIO(data)))
    else:
        file = tmp_path / "file"
        file.write_bytes(gzip.compress(data) if form == "compressed" else data)
        found = archive.load(other, file)
    assert found == [("shop/a:v1", first), ("b:v2", second)]
    image = other.image("b:v2")
    assert image is not None
    assert image.config["Cmd"] == ["b"]
    assert sorted(os.listdir(image.rootfs.layers[0])) == ["b"]
    assert not os.listdir(other.root / "tmp")


def test_the_tar_is_both_forms_at_once_and_each_blob_is_in_it_once(store):
    first, _ = two_images(store)
    with tarfile.open(fileobj=io.BytesIO(saved(store, "shop/a:v1", "b:v2"))) as found:
        names = found.getnames()
        content = {name: found.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    assert len(names) == len(set(names))
    assert {"index.json", "manifest.json", "oci-layout"} < set(names)
    for name in names:
        if name.startswith("blobs/"):
            assert digest(content[name]) == name.removeprefix("blobs/").replace("/", ":")
    index = json.loads(content["index.json"])
    assert index["manifests"][0]["digest"] == first
    assert index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] == "v1"
    assert json.loads(content["manifest.json"])[0]["RepoTags"] == ["shop/a:v1"]


def test_an_image_saved_by_id_has_no_name_until_one_is_given(store, other, tmp_path):
    first, _ = two_images(store)
    file = tmp_path / "file"
    file.write_bytes(saved(store, store.image_of(first).id))
    assert archive.load(other, file) == [("", first)]
    assert other.names() == {}
    assert archive.load(other, file, "mine:v3") == [("mine:v3", first)]
    with pytest.raises(InvalidReference):
        archive.load(other, file, "Mine:v3")


def test_one_name_is_not_for_two_images(store, other):
    two_images(store)
    with pytest.raises(ArchiveError, match="2 images"):
        archive.load(other, io.BytesIO(saved(store, "shop/a:v1", "b:v2")), "x:v1")


def test_saving_what_is_not_here(store, tmp_path):
    with pytest.raises(ArchiveError, match="no image 'x:v1' here"):
        saved(store, "x:v1")
    two_images(store)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ArchiveError, match="not empty"):
        archive.save_layout(store, ["b:v2"], tmp_path / "full")


def docker_archive(store: ImageStore, manifest: str, tags: list[str] | None) -> bytes:
    """As `docker save` wrote before version 25: layers in folders of their own, the same one again as a link."""
    config = json.dumps(config_of(store, manifest)).encode()
    layers = [store.read(layer["digest"]) for layer in store.manifest(manifest)["layers"]]
    entries = [entry("c0ffee.json", config)]
    names = []
    for number, layer in enumerate(layers):
        entries.append(entry(f"{number}/layer.tar", layer))
        entries.append(link(f"{number}-again/layer.tar", f"../{number}/layer.tar"))
        names.append(f"{number}-again/layer.tar")
    legacy = [{"Config": "c0ffee.json", "RepoTags": tags, "Layers": names}]
    return tar([*entries, entry("manifest.json", json.dumps(legacy).encode())])


@pytest.mark.parametrize("compressed", [False, True])
def test_the_older_form_of_docker(store, other, compressed):
    manifest = make_image(store, [entry("a", b"1")], [entry("b", b"2")], compressed=compressed, Cmd=["run"])
    found = archive.load(other, io.BytesIO(docker_archive(store, manifest, ["cart:v1", "registry.test/cart:v1"])))
    assert [name for name, _ in found] == ["cart:v1", "registry.test/cart:v1"]
    image = other.image("cart:v1")
    assert image is not None
    assert image.config == {"Cmd": ["run"]}
    assert [os.listdir(layer) for layer in image.rootfs.layers] == [["b"], ["a"]]


def layout(store: ImageStore, manifests: list[dict[str, object]], *blobs: bytes) -> bytes:
    index = {"schemaVersion": 2, "manifests": manifests}
    files = [entry(f"./blobs/sha256/{digest(blob)[7:]}", blob) for blob in blobs]
    return tar([*files, entry("./oci-layout", b"{}"), entry("./index.json", json.dumps(index).encode())])


def blobs_of(store: ImageStore, manifest: str) -> list[bytes]:
    content = store.manifest(manifest)
    digests = [manifest, content["config"]["digest"], *(layer["digest"] for layer in content["layers"])]
    return [store.read(each) for each in digests]


def descriptor(blob: bytes, **fields: object) -> dict[str, object]:
    return {"digest": digest(blob), "size": len(blob), **fields}


def test_an_index_in_an_index_leads_to_this_machine(store, other):
    manifest = make_image(store, [entry("a", b"1")])
    blobs = blobs_of(store, manifest)
    inner = json.dumps(
        {
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                descriptor(b"attestation", platform={"os": "unknown", "architecture": "unknown"}),
                descriptor(b"other machine", platform={"os": "linux", "architecture": "mips"}),
                descriptor(blobs[0], platform={"os": "linux", "architecture": architecture()}),
            ],
        }
    ).encode()
    named = descriptor(inner, annotations={"io.containerd.image.name": "registry.test/cart:v1"})
    assert archive.load(other, io.BytesIO(layout(store, [named], inner, *blobs))) == [
        ("registry.test/cart:v1", manifest)
    ]
    alone = json.dumps(
        {"manifests": [descriptor(b"", platform={"os": "linux", "architecture": "mips", "variant": "v9"})]}
    ).encode()
    with pytest.raises(ArchiveError, match="the image has linux/mips/v9"):
        archive.load(other, io.BytesIO(layout(store, [descriptor(alone)], alone)))


def test_a_bare_tag_is_no_name(store, other):
    manifest = make_image(store, [entry("a", b"1")])
    blobs = blobs_of(store, manifest)
    named = descriptor(blobs[0], annotations={"org.opencontainers.image.ref.name": "v1"})
    assert archive.load(other, io.BytesIO(layout(store, [named], *blobs))) == [("", manifest)]


def damaged(data: bytes) -> bytes:
    return data.replace(b"shared", b"changd")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"nothing of the kind" * 50, "not a tar archive"),
        (b"", "not a tar archive"),
        (tar([entry("readme", b"hello")]), "no image in it"),
        (tar([entry("manifest.json", b"{not json")]), "not JSON"),
        (tar([entry("manifest.json", b'[{"Config": "x.json", "Layers": []}]')]), "x.json is missing"),
        (tar([entry("manifest.json", b'[{"RepoTags": []}]')]), "not an image archive"),
        (tar([link("manifest.json", "manifest.json")]), "manifest.json is missing"),
        (tar([entry("index.json", b'{"manifests": [{"digest": "sha256:12"}]}')]), "not a sha256 digest"),
        (tar([entry("index.json", b'{"manifests": [{"digest": "sha256:%064d"}]}' % 0)]), "missing"),
        (tar([entry("index.json", b'{"manifests": [7]}')]), "not an image archive"),
    ],
    ids=[
        "text",
        "empty",
        "no image",
        "no json",
        "no config",
        "nothing named",
        "loop",
        "short digest",
        "no blob",
        "number",
    ],
)
def test_what_is_no_archive_says_why_and_leaves_nothing(other, data, message):
    with pytest.raises(ArchiveError, match=message):
        archive.load(other, io.BytesIO(data))
    assert other.names() == {}
    assert not os.listdir(other.root / "tmp")


def test_a_changed_layer_is_noticed(store, other):
    two_images(store)
    with pytest.raises(ArchiveError, match="is damaged"):
        archive.load(other, io.BytesIO(damaged(saved(store, "shop/a:v1"))))
    assert other.names() == {}


def test_an_archive_cut_short(store, other):
    two_images(store)
    data = saved(store, "shop/a:v1")
    with pytest.raises(ArchiveError):
        archive.load(other, io.BytesIO(data[: len(data) // 2]))
    assert other.names() == {}
