"""The store: what a name leads to is complete, whoever else works in it; and what nobody needs goes."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from image_samples import digest, entry, make_image, tar

from wherry.images.blobs import clear_abandoned, temporary
from wherry.images.collect import collect
from wherry.images.reference import InvalidReference
from wherry.images.store import BASE_LABEL, HOST_ID, LAYER, Descriptor, ImageStore, StoreError


@pytest.fixture
def store(tmp_path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def test_an_image_is_ready_to_run(store):
    manifest = make_image(
        store, [entry("low", b"1")], [entry("high", b"2")], compressed=True, Cmd=["run"], Labels={BASE_LABEL: "host"}
    )
    store.tag("cart:v1", manifest)
    image = store.image("cart:v1")
    assert image is not None
    assert [sorted(os.listdir(layer)) for layer in image.rootfs.layers] == [["high"], ["low"]]
    assert image.rootfs.host
    assert image.config["Cmd"] == ["run"]
    assert image.names == ("cart:v1",)
    assert image.id == store.manifest(manifest)["config"]["digest"]
    assert image.digest == manifest
    assert image.size > 0


def test_ways_to_name_an_image(store):
    manifest = make_image(store, [entry("f", b"1")])
    other = make_image(store, [entry("f", b"2")])
    store.tag("registry.test/cart:v1", manifest)
    store.tag("other:v1", other)
    image_id = store.image_of(manifest).id
    for reference in (
        "registry.test/cart:v1",
        image_id,
        image_id[7:],
        image_id[7:19],
        f"registry.test/cart@{manifest}",
    ):
        assert store.find(reference) == manifest, reference
    for reference in ("registry.test/cart", "cart:v1", f"other@{manifest}", "0" * 12):
        assert store.find(reference) is None, reference
    with pytest.raises(InvalidReference):
        store.find("Bad Name")


def test_the_machine_itself_is_always_there_under_any_tag(store):
    for name in ("wherry.dev/host:v1", "wherry.dev/host:other"):
        image = store.image(name)
        assert image is not None
        assert (image.id, image.rootfs.host, image.rootfs.layers) == (HOST_ID, True, ())
    with pytest.raises(InvalidReference):
        store.image("wherry.dev/host:")


def test_names_move_and_images_follow(store):
    first, second = make_image(store, [entry("f", b"1")]), make_image(store, [entry("f", b"2")])
    store.tag("cart:v1", first)
    store.tag("cart:also", first)
    assert set(store.image_of(first).names) == {"cart:v1", "cart:also"}
    store.tag("cart:v1", second)
    assert store.image_of(first).names == ("cart:also",)
    assert store.untag("cart:also")
    assert not store.untag("cart:also")
    assert [image.digest for image in store.images()] == [second]


def test_another_process_sees_changes_at_once(store):
    other = ImageStore(store.root)
    manifest = make_image(store, [entry("f")])
    assert other.image("cart:v1") is None
    store.tag("cart:v1", manifest)
    assert other.image("cart:v1") is not None
    store.untag("cart:v1")
    assert other.image("cart:v1") is None


def test_many_at_once_lose_nothing(store):
    manifest = make_image(store, [entry("f", b"x" * 10_000)])
    begin = threading.Barrier(8)

    def work(number: int) -> None:
        own = ImageStore(store.root)
        begin.wait()
        for each in range(10):
            own.tag(f"cart:{number}-{each}", manifest)
            assert own.image_of(manifest).rootfs.layers[0].is_dir()
            own.put(b"blob %d" % (each % 3), LAYER)
            clear_abandoned(store.root)

    with ThreadPoolExecutor(8) as pool:
        for result in [pool.submit(work, number) for number in range(8)]:
            result.result()
    assert len(store.names()) == 80
    assert not os.listdir(store.root / "tmp")


def test_a_layer_that_is_not_what_the_configuration_says_is_refused(store):
    layer = store.put(tar([entry("f")]), LAYER)
    wrong = store.add({"rootfs": {"diff_ids": [digest(b"other")]}}, [layer])
    with pytest.raises(StoreError, match="expected diff id"):
        store.image_of(wrong)
    missing = store.add({"rootfs": {"diff_ids": []}}, [layer])
    with pytest.raises(StoreError, match="1 layers, but 0 diff ids"):
        store.image_of(missing)
    assert not (store.root / "layers").exists()
    assert not os.listdir(store.root / "tmp")


def test_a_removed_directory_is_unpacked_again_and_a_removed_blob_named(store):
    manifest = make_image(store, [entry("f", b"1")])
    layer = store.image_of(manifest).rootfs.layers[0]
    layer.rename(store.root / "away")
    assert (store.image_of(manifest).rootfs.layers[0] / "f").read_bytes() == b"1"
    blob = store.blobs.path(store.manifest(manifest)["layers"][0]["digest"])
    blob.unlink()
    layer.rename(store.root / "away2")
    with pytest.raises(StoreError, match="is not in the image store"):
        store.image_of(manifest)


@pytest.mark.parametrize(
    "text", ["", "sha256:", "sha256:xyz", "md5:00", "sha256:../../etc/passwd", "sha256:" + "A" * 64]
)
def test_what_is_no_digest_never_becomes_a_path(store, text):
    with pytest.raises(StoreError, match="not a sha256 digest"):
        store.read(text)
    with pytest.raises(StoreError):
        store.unpack(Descriptor(LAYER, text, 0), text)


def test_a_draft_is_kept_only_when_it_is_what_was_expected(store):
    draft = store.draft()
    draft.write(b"content")
    with pytest.raises(StoreError, match="expected a blob"):
        draft.commit(digest(b"other"))
    draft.close()
    draft.close()
    assert not store.has(digest(b"content"))
    assert not os.listdir(store.root / "tmp")


def test_a_killed_process_leaves_its_folder_to_the_sweep_and_a_living_one_keeps_it(store):
    (store.root / "tmp" / "left").mkdir(parents=True)
    (store.root / "tmp" / "left" / "blob").write_bytes(b"x")
    (store.root / "tmp" / "left" / "locked").mkdir(mode=0o000)
    with temporary(store.root) as mine:
        clear_abandoned(store.root)
        assert os.listdir(store.root / "tmp") == [mine.name]


def blobs_and_layers(store: ImageStore) -> tuple[int, int]:
    return len(store.blobs.all()), len(os.listdir(store.root / "layers"))


def test_collecting_keeps_what_other_names_share(store):
    shared = [entry("base", b"1")]
    first = make_image(store, shared, [entry("a", b"2")])
    second = make_image(store, shared, [entry("b", b"3")])
    for name, manifest in (("a:v1", first), ("b:v1", second)):
        store.tag(name, manifest)
        store.image_of(manifest)
    assert blobs_and_layers(store) == (7, 3)
    store.untag("a:v1")
    freed = collect(store)
    assert (freed.blobs, freed.layers) == (3, 1)
    assert freed.size > 0
    image = ImageStore(store.root).image("b:v1")
    assert image is not None
    assert all(layer.is_dir() for layer in image.rootfs.layers)
    store.untag("b:v1")
    collect(store)
    assert blobs_and_layers(store) == (0, 0)


def test_layers_under_containers_stay(store):
    manifest = make_image(store, [entry("f", b"1")])
    layer = store.image_of(manifest).rootfs.layers[0]
    assert collect(store, in_use={layer}).layers == 0
    assert (layer / "f").exists()


def step(store: ImageStore, key: str, layer: Descriptor, diff_id: str) -> None:
    folder = store.root / "steps"
    folder.mkdir(exist_ok=True)
    (folder / key).write_text(json.dumps({"layer": layer.to_dict(), "diff_id": diff_id}))


def test_build_steps_stay_unless_their_image_was_removed_or_others_are_newer(store, monkeypatch):
    layers = []
    for number in range(3):
        data = tar([entry(str(number), b"x" * 1000)])
        layers.append((store.put(data, LAYER), digest(data)))
        store.unpack(*layers[-1])
        step(store, str(number), *layers[-1])
        os.utime(store.root / "steps" / str(number), (number, number))
    (store.root / "steps" / "broken").write_text("{")
    assert collect(store, removed={layers[2][1]}).layers == 1
    assert sorted(os.listdir(store.root / "steps")) == ["0", "1"]
    monkeypatch.setattr("wherry.images.collect.CACHE_BYTES_MAX", layers[1][0].size)
    assert collect(store).layers == 1
    assert os.listdir(store.root / "steps") == ["1"]


def test_nothing_is_collected_while_somebody_builds(store):
    with store.using(), store.using(), pytest.raises(BlockingIOError):
        collect(store)
    collect(store)
