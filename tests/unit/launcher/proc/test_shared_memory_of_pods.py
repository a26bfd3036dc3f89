"""Where /dev/shm of a pod lies in tier `proc`: in the machine's, else on the disk; and what is removed of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from container_specs import container_spec

from wherry.launcher.loop import Loop
from wherry.launcher.proc import shared_memory
from wherry.launcher.proc.paths import Paths
from wherry.launcher.proc.promises import prepare
from wherry.launcher.rootfs import Writable
from wherry.launcher.specs import MountSpec


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A machine's /dev/shm, and a state directory."""
    machines, state = tmp_path / "shm", tmp_path / "state"
    machines.mkdir()
    state.mkdir()
    return machines, state


def test_it_is_the_pods_in_a_directory_that_nobody_else_enters(places: tuple[Path, Path]) -> None:
    machines, state = places
    folder = shared_memory.begin(str(state), str(machines))
    made = shared_memory.make(folder, "pod", str(state))
    assert Path(made).parent.parent == machines
    assert (oct(os.stat(folder).st_mode)[-4:], oct(os.stat(made).st_mode)[-4:]) == ("0700", "1777")
    loop = Loop()
    shared_memory.remove(loop, folder, "pod")
    shared_memory.remove(loop, folder, "of a pod that never had one")
    loop.close()
    assert os.listdir(folder) == []


def test_what_a_killed_launcher_left_is_removed_and_nobody_elses(places: tuple[Path, Path], tmp_path: Path) -> None:
    machines, state = places
    other = tmp_path / "other"
    other.mkdir()
    left = shared_memory.begin(str(state), str(machines))
    segment = Path(shared_memory.make(left, "pod", str(state))) / "segment"
    segment.write_text("much")
    others = shared_memory.begin(str(other), str(machines))
    name = Path(left).name
    (machines / name.replace(name[-8:], "afile")).write_text("")
    (machines / name.replace(name[-8:], "alink")).symlink_to(others)
    folder = shared_memory.begin(str(state), str(machines))
    kept = {each.name for each in machines.iterdir()} - {Path(folder).name, Path(others).name}
    assert kept == {name.replace(name[-8:], "afile"), name.replace(name[-8:], "alink")}
    assert os.path.isdir(others)


@pytest.mark.parametrize("why", ["missing", "full"])
def test_without_room_there_it_is_on_the_disk(places: tuple[Path, Path], why: str) -> None:
    machines, state = places
    folder = shared_memory.begin(str(state), str(machines if why == "full" else machines / "none"))
    assert bool(folder) == (why == "full")
    if folder:
        os.rmdir(folder)
    left = Path(shared_memory.make(folder, "pod whose launcher was killed", str(state))) / "segment"
    left.write_text("old")
    made = shared_memory.make(folder, "pod", str(state))
    assert (Path(made).parent, os.listdir(made)) == (state, [])
    assert oct(os.stat(made).st_mode)[-4:] == "1777"


def test_a_container_has_it_by_all_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "names", lambda: (b"/dev/shm", b"/run/shm"))
    (tmp_path / "layer/dev/shm").mkdir(parents=True)
    (tmp_path / "layer/dev/shm/x").touch()  # hidden, as by a mount
    layer = tmp_path / "layer"
    volume: MountSpec = {"source": str(tmp_path), "target": "/dev/shm", "readonly": True, "propagation": "None"}
    writable, shared = Writable(str(tmp_path / "container")), str(tmp_path / "shared")
    paths = Paths(prepare(container_spec(layer, readonly_rootfs=True), writable, shared, "/memory"))
    for name in (b"/dev/shm", b"/run/shm", b"/dev/../dev/shm"):
        assert paths.find(name + b"/x") == (b"/memory/x", False)
    assert paths.shown(b"/memory/x") == b"/dev/shm/x"
    paths = Paths(prepare(container_spec(layer, mounts=(volume,), readonly_rootfs=True), writable, shared, "/memory"))
    assert paths.find(b"/run/shm/x") == paths.find(b"/dev/shm/x") == (os.fsencode(tmp_path / "x"), True)


def test_other_devices_are_the_machines_by_a_look_at_their_names(tmp_path: Path) -> None:
    paths = Paths(prepare(container_spec(), Writable(str(tmp_path)), str(tmp_path / "shared"), "/memory"))
    for name in (b"/dev/null", b"/dev/", b"/dev/shm2", b"/dev/pts/0"):
        assert paths.is_device(name)
    for name in (
        b"/dev/shm",
        b"/dev/shm/",
        b"/dev/shm/x",
        b"/dev//shm",
        b"/dev/./shm/x",
        b"/dev/x/../shm",
        b"/dev",
        b"/devs/x",
    ):
        assert not paths.is_device(name)
