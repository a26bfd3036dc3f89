"""Paths as long as can be, with links and `..`: nobody else is answered while the shim looks at one, so it looks a few times."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from wherry.launcher.proc import guest as guests
from wherry.launcher.proc import reach
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.paths import Paths, Promise
from wherry.launcher.proc.reach import Found, LeadsElsewhereError

DEPTH = 300
LOOKS_MAX = 10  # the binary logarithm, and one


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    found: list[bytes] = []
    without_links = reach.without_links

    def look(path: bytes) -> int:
        found.append(path)
        return without_links(path)

    monkeypatch.setattr(reach, "without_links", look)
    return found


@pytest.mark.parametrize("place", [0, 1, 2, 17, 150, DEPTH - 1, DEPTH])
def test_the_first_link_of_a_long_path_is_found_with_few_looks(tmp_path: Path, looks: list[bytes], place: int) -> None:
    anchor = os.fsencode(tmp_path) + b"/anchor"
    if place:
        os.makedirs(anchor + b"/a" * (place - 1))
    os.symlink("/elsewhere", anchor + b"/a" * place)
    path = b"/a" * DEPTH
    with pytest.raises(LeadsElsewhereError) as raised:
        Found(b"/data" + path, anchor + path, anchor, readonly=False).open(os.O_RDONLY)
    assert raised.value.path == b"/elsewhere" + b"/a" * (DEPTH - place)
    assert len(looks) <= LOOKS_MAX


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_a_link_that_shall_not_be_followed_is_named(tmp_path: Path, depth: int) -> None:
    anchor = os.fsencode(tmp_path) + b"/anchor"
    if depth:
        os.makedirs(anchor + b"/a" * (depth - 1))
    os.symlink("/elsewhere", anchor + b"/a" * depth)
    found = Found(b"/data" + b"/a" * depth, anchor + b"/a" * depth, anchor, readonly=False)
    with pytest.raises(OSError) as raised:
        found.open(os.O_RDONLY | os.O_NOFOLLOW)
    assert raised.value.errno == errno.ELOOP


def test_a_relative_link_begins_at_its_directory(tmp_path: Path) -> None:
    anchor = os.fsencode(tmp_path) + b"/anchor"
    os.makedirs(anchor + b"/one/two")
    os.symlink("../../../out", anchor + b"/one/two/link")
    with pytest.raises(LeadsElsewhereError) as raised:
        Found(b"/data/one/two/link/x", anchor + b"/one/two/link/x", anchor, readonly=False).open(os.O_RDONLY)
    assert raised.value.path == b"/out/x"


def test_a_long_path_is_promised_by_its_beginning() -> None:
    paths = Paths([Promise(b"/data/inner", b"/real")])
    assert paths.find(b"/data/inner" + b"/x" * 2000) == (b"/real" + b"/x" * 2000, False)
    assert paths.find(b"/data" + b"/x" * 2000) is None


def test_a_path_that_leads_up_too_often_is_made_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "TURNS_MAX", 3)
    guest = Guest(-1, "", "", "", "", Paths([Promise(b"/data", b"/real")]))
    assert guest.find(b"/x/../y/../z", changes=True) is None
    found = guest.find(b"/x/../y/../y/../z", changes=True)
    assert isinstance(found, reach.WayOut)
    with pytest.raises(LeadsElsewhereError) as raised:
        found.open(os.O_RDONLY)
    assert raised.value.path == b"/z"


def test_names_that_begin_with_two_dots_lead_nowhere_else(tmp_path: Path) -> None:
    """Volumes have `..data`; only a name that is two dots leads up."""
    folder = os.fsencode(tmp_path)
    os.makedirs(folder + b"/one/..data/two")
    assert [reach.leads_away(folder, name) for name in (b"one/..data/two", b"one/..gone", b"..data", b"one")] == [
        False
    ] * 4
    assert [reach.leads_away(folder, name) for name in (b"one/..", b"one/../one")] == [True] * 2
