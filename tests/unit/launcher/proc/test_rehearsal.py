"""What waits to be needed goes through its beginning once: that works, or the time is not saved, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from wherry.launcher.proc import executables, kits, rehearsal
from wherry.launcher.proc.kits import KITS

pytestmark = pytest.mark.usefixtures("nothing_collected")


def _all(state: Path) -> set[tuple[str, int]]:
    return {(str(path), path.lstat().st_mode) for path in state.rglob("*")}


def test_nothing_is_left_but_the_kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = kits.make(str(tmp_path))
    before, descriptors = _all(tmp_path / KITS), set(os.listdir("/proc/self/fd"))
    found: list[Any] = []
    find = executables.find_program

    def noted(*given: Any) -> Any:
        found.append(find(*given))
        return found[-1]

    monkeypatch.setattr(executables, "find_program", noted)
    rehearsal.become_container(str(tmp_path), kit)
    rehearsal.start_container(kit)
    assert found, "it ended before its last step"
    assert {name for name, _ in _all(tmp_path / KITS)} == {name for name, _ in before}
    assert set(os.listdir("/proc/self/fd")) == descriptors
    kits.discard(kit)
    assert not _all(tmp_path / KITS)


def test_without_room_for_a_kit_nothing_is_said(tmp_path: Path) -> None:
    descriptors = set(os.listdir("/proc/self/fd"))
    (tmp_path / "file").write_text("")
    rehearsal.become_container(str(tmp_path / "file"), str(tmp_path / "file" / "kit-"))
    rehearsal.start_container(str(tmp_path / "file" / "kit-"))
    assert set(os.listdir("/proc/self/fd")) == descriptors
