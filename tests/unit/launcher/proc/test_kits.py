"""Directories made ahead of time: taken where that can be, made otherwise."""

from __future__ import annotations

import os
from pathlib import Path

from container_specs import container_spec

from wherry.launcher.proc import kits, promises
from wherry.launcher.rootfs import Writable


def test_a_directory_of_the_kit_is_taken(tmp_path: Path) -> None:
    kit = kits.make(str(tmp_path))
    number = Path(f"{kit}{kits.CONTAINER}").stat().st_ino
    kits.place(kit, kits.CONTAINER, str(tmp_path / "container"))
    assert (tmp_path / "container").stat().st_ino == number
    assert sorted(os.listdir(tmp_path / "container")) == ["own-tmp", "own-var-tmp", "upper"]


def test_without_a_kit_or_a_parent_it_is_made(tmp_path: Path) -> None:
    kit = kits.make(str(tmp_path))
    kits.place(kit, kits.PORTS, str(tmp_path / "no" / "parent"))
    kits.place("", kits.PORTS, str(tmp_path / "no" / "kit"))
    assert sorted(os.listdir(tmp_path / "no")) == ["kit", "parent"]


def test_what_is_there_stays(tmp_path: Path) -> None:
    kit = kits.make(str(tmp_path))
    (tmp_path / "container").mkdir()
    (tmp_path / "container" / "file").touch()
    kits.place(kit, kits.CONTAINER, str(tmp_path / "container"))
    assert os.listdir(tmp_path / "container") == ["file"]


def test_a_log_is_placed_with_its_directory_once(tmp_path: Path) -> None:
    kit = kits.make(str(tmp_path))
    log = tmp_path / "main" / "0.log"
    kits.place_log(kit, str(log))
    assert (oct(log.parent.stat().st_mode)[-3:], oct(log.stat().st_mode)[-3:]) == ("700", "600")
    log.write_text("said")
    kits.place_log(kits.make(str(tmp_path)), str(log))
    assert log.read_text() == "said"


def test_what_nobody_took_is_removed(tmp_path: Path) -> None:
    kit = kits.make(str(tmp_path))
    kits.place(kit, kits.PORTS, str(tmp_path / "ports"))
    kits.discard(kit)
    assert os.listdir(tmp_path / kits.KITS) == []


def test_an_image_without_a_home_gets_the_kits(tmp_path: Path) -> None:
    layer, kit = tmp_path / "layer", kits.make(str(tmp_path))
    (layer / "app").mkdir(parents=True)
    number = Path(f"{kit}{kits.CONTAINER}/{kits.HOME}").stat().st_ino
    made = promises.prepare(
        container_spec(layer), Writable(str(tmp_path / "container")), str(tmp_path / "shared"), kit=kit
    )
    assert {each.target for each in made} >= {b"/app", b"/root", b"/tmp", b"/var/tmp"}
    assert (tmp_path / "container/upper/root").stat().st_ino == number
