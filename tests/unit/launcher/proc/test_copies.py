"""Copies of images in store keep to their bounds: in number, in bytes, and by what the disk has left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.launcher.proc import copies, image_files
from wherry.launcher.protocol import LauncherError

MB, GB = 1 << 20, 1 << 30


def image(folder: Path, name: str, size: int) -> list[str]:
    """Layers of an image of so many bytes, a third of them in a layer below."""
    for layer, part in ((f"{name}-top", size - size // 3), (f"{name}-low", size // 3)):
        (folder / layer / "deep").mkdir(parents=True)
        (folder / layer / "deep" / layer).write_bytes(b"x" * part)
    return [str(folder / f"{name}-top"), str(folder / f"{name}-low")]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "shared"


def kept(shared: Path, images: dict[str, list[str]]) -> str:
    """Names of the images with a copy that is whole."""
    found = {name for name, layers in images.items() if os.path.isdir(image_files.stored(layers, str(shared)))}
    assert len(list(shared.glob("*.copy"))) == len(list(shared.glob("*.size"))) == len(found)
    assert len(list(shared.iterdir())) == 2 * len(found)  # nothing else is left there
    return "".join(sorted(found))


def take(layers: list[str], shared: Path, target: Path) -> int:
    """As a container does; the bytes of what it got."""
    target.mkdir()
    image_files.put(layers, str(target), str(shared))
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def test_those_used_longest_ago_go_first(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "STORED_SUM_MAX", 100)
    images = {name: image(tmp_path, name, 30) for name in "abcd"} | {"e": image(tmp_path, "e", 80)}
    for name in "abc":
        copies.store(images[name], str(shared))
    assert kept(shared, images) == "abc"
    assert take(images["a"], shared, tmp_path / "container") == 30
    copies.store(images["a"], str(shared))  # who takes one has the next one made: b is the oldest now
    copies.store(images["d"], str(shared))
    assert kept(shared, images) == "acd"
    copies.store(images["e"], str(shared))
    assert kept(shared, images) == "e"


def test_what_is_in_use_neither_counts_nor_goes(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "STORED_SUM_MAX", 100)
    images = {name: image(tmp_path, name, 60) for name in "ab"}
    copies.store(images["a"], str(shared))
    assert take(images["a"], shared, tmp_path / "container") == 60
    copies.store(images["b"], str(shared))
    copies.store(images["a"], str(shared))
    assert sorted(os.listdir(tmp_path / "container/deep")) == ["a-low", "a-top"]
    assert kept(shared, images) == "a"


def test_an_image_that_does_not_fit_takes_no_place(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = {"a": image(tmp_path, "a", 30), "b": image(tmp_path, "b", 80)}
    copies.store(images["a"], str(shared))
    for bound in ("STORED_SUM_MAX", "STORED_BYTES_MAX"):
        with monkeypatch.context() as patch:
            patch.setattr(copies, bound, 79)
            with pytest.raises(LauncherError):
                copies.store(images["b"], str(shared))
        assert kept(shared, images) == "a"


def test_so_many_and_no_more(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "STORED_MAX", 2)
    images = {name: image(tmp_path, name, 3) for name in "abcd"}
    for layers in images.values():
        copies.store(layers, str(shared))
    assert kept(shared, images) == "cd"


def test_a_disk_that_gets_full_has_fewer_copies() -> None:
    assert copies.room_for(1000 * GB, 0) == copies.STORED_SUM_MAX
    assert copies.room_for(5 * GB, 0) == GB // 2
    assert copies.room_for(5 * GB - 300 * MB, 300 * MB) == GB // 2  # what they take is not what is missing
    assert copies.room_for(0, 500 * MB) == 50 * MB


def test_which_copies_go() -> None:
    three = [(2, 30, "b"), (1, 30, "a"), (3, 30, "c")]
    assert copies.surplus(three, 10, 100) == []
    assert copies.surplus(three, 11, 100) == ["a"]
    assert copies.surplus([*three, (0, 1, "tiny")], 40, 100) == ["a", "tiny"]  # older than one that goes
    assert copies.surplus(three, 100, 100) == ["c", "b", "a"]
    assert copies.surplus([], 100, 100) == []
    many = [(number, 1, str(number)) for number in range(copies.STORED_MAX)]
    assert copies.surplus(many, 1, 100) == ["0"]
