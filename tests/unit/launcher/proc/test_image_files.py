"""An image's files: copied with all that they are, taken from the store once, linked for those that may not write."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from wherry.launcher import whiteouts
from wherry.launcher.proc import copies, image_files


@pytest.fixture
def layers(tmp_path: Path) -> list[str]:
    """Topmost first: the upper one replaces a file, removes one, and hides a directory."""
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for name, text in (("app/main.py", "old"), ("app/gone.py", "x"), ("data/old", "x"), ("kept/deep/file", "kept")):
        (lower / name).parent.mkdir(parents=True, exist_ok=True)
        (lower / name).write_text(text)
    (upper / "app").mkdir(parents=True)
    (upper / "app/main.py").write_text("new")
    os.chmod(upper / "app/main.py", 0o751)
    os.utime(upper / "app/main.py", ns=(1, 1_000_000_007))
    os.setxattr(upper / "app/main.py", "user.colour", b"blue")
    whiteouts.make(upper / "app/gone.py")
    (upper / "app/link").symlink_to("main.py")
    (upper / "data").mkdir()
    os.setxattr(upper / "data", "user.overlay.opaque", b"y")
    return [str(upper), str(lower)]


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def test_a_copy_is_what_the_layers_say(layers: list[str], tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    image_files.put(layers, str(target), str(tmp_path / "shared"))
    assert names(target) == ["app/link", "app/main.py", "kept/deep/file"]
    found = (target / "app/main.py").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns, found.st_nlink) == (0o751, 1_000_000_007, 1)
    assert os.getxattr(target / "app/main.py", "user.colour") == b"blue"
    assert (target / "app/link").read_text() == "new"


def test_what_is_in_store_is_taken_once(layers: list[str], tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    copies.store(layers, str(shared))
    copies.store(layers, str(shared))
    (stored,) = shared.glob("*.copy")
    (stored / "app/mark").write_text("from the store")
    for number, expected in enumerate([True, False]):
        target = tmp_path / str(number)
        target.mkdir()
        before = target.stat().st_ino
        image_files.put(layers, str(target), str(shared))
        assert Path(f"{target}{image_files.UNUSED}").stat().st_ino == before  # which was not removed, that takes long
        assert (target / "app/mark").exists() is expected
        assert (target / "app/main.py").read_text() == "new"
        assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert list(shared.glob("*.copy")) == []


def test_what_may_not_be_written_is_linked(layers: list[str], tmp_path: Path) -> None:
    made = Path(image_files.merged(layers, str(tmp_path / "shared")))
    assert image_files.merged(layers, str(tmp_path / "shared")) == str(made)
    assert names(made) == ["app/link", "app/main.py", "kept/deep/file"]
    assert (made / "app/main.py").stat().st_nlink == 2
