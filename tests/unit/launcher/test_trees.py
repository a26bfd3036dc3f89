"""Trees that a container made deeper than paths, descriptors and Python's stack reach are removed all the same."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wherry.cluster import trees as cluster_trees
from wherry.controllers.persistent_volume.directories import HostDirectories
from wherry.images.trees import remove_tree
from wherry.launcher import trees

LEVELS = 150
FRAMES = 80
NAME = "long-" + "x" * 100


@pytest.fixture
def small_stack() -> Iterator[None]:
    """Too small for as many levels, which without it were ten times as many."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + FRAMES)
    yield
    sys.setrecursionlimit(usual)


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_stack: None) -> Path:
    monkeypatch.setattr(trees, "DEPTH_MAX", 10)
    tree = tmp_path / "tree"
    (tree / ".moved-0").mkdir(parents=True)
    fd = os.open(tree, os.O_RDONLY)
    for level in range(LEVELS):
        os.mkdir(NAME, dir_fd=fd)
        below = os.open(NAME, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
        if level % 40 == 0:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
            os.mkdir("closed", dir_fd=fd)
            os.close(os.open("closed/file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
            os.chmod("closed", 0, dir_fd=fd)
            os.symlink("/", "link", dir_fd=fd)
    os.close(fd)
    return tree


@pytest.mark.parametrize(
    "remove",
    [lambda tree: trees.remove(str(tree)), cluster_trees.remove, remove_tree],
    ids=["launcher", "system", "images"],
)
def test_deep_trees_are_removed(deep: Path, remove: Callable[[Path], None]) -> None:
    remove(deep)
    assert not deep.exists()
    remove_tree(deep)  # nothing is there
    trees.remove(str(deep))


async def test_a_deep_volume_is_removed(deep: Path) -> None:
    directories = HostDirectories(deep.parent)
    await directories.remove("tree")
    assert not deep.exists()


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept/inner").mkdir(parents=True)
    (tmp_path / "kept").chmod(0o500)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to(tmp_path / "kept")
    trees.remove(str(tmp_path / "tree"))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o500
    (tmp_path / "kept").chmod(0o700)
