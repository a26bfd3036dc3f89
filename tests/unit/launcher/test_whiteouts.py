"""Marks of what was removed: both kinds are known again, and nothing else is taken for one."""

from __future__ import annotations

import os
import socket
import stat
import tarfile
import tempfile
from pathlib import Path

import pytest

from wherry.launcher.layers import archive
from wherry.launcher.whiteouts import is_whiteout, make


@pytest.fixture
def on_overlayfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel refuses the device there, to root too."""
    mknod = os.mknod

    def refusing(path: Path, mode: int, device: int = 0, *, dir_fd: int | None = None) -> None:
        if stat.S_ISCHR(mode):
            raise PermissionError
        mknod(path, mode, device, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mknod", refusing)


def test_overlayfs_mark(tmp_path: Path) -> None:
    make(tmp_path / "gone")
    found = (tmp_path / "gone").lstat()
    assert stat.S_ISCHR(found.st_mode)
    assert is_whiteout(found)
    with pytest.raises(FileExistsError):
        make(tmp_path / "gone")


@pytest.mark.usefixtures("on_overlayfs")
def test_on_overlayfs_itself(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    make("gone", dir_fd=folder)
    os.close(folder)
    assert is_whiteout((tmp_path / "gone").lstat())
    with pytest.raises(FileExistsError):
        make(tmp_path / "gone")
    with tempfile.TemporaryFile() as file:
        archive(str(tmp_path), file.fileno())
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            assert tar.getnames() == [".wh.gone"]


def test_a_programs_socket_is_none(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
    (tmp_path / "socket").chmod(0)
    assert not is_whiteout((tmp_path / "socket").lstat())
