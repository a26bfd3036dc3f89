"""Files of ours are read whatever their mode says, and keep it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from wherry.launcher.reading import open_own


@pytest.mark.parametrize("mode", [0o644, 0o000, 0o4111])
def test_a_file_is_read_and_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "file"
    file.write_text("secret")
    file.chmod(mode)
    with os.fdopen(open_own(file)) as content:
        assert content.read() == "secret"
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_links_and_what_is_not_there_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "file").write_text("x")
    for name in ("link", "nothing"):
        with pytest.raises(OSError, match=name):
            open_own(tmp_path / name)
