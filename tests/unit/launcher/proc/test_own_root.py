"""Where paths of an image with a root of its own lead, and the copies of its programs: links, `..`, promises inside, linkers."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.interpreters import COPIES_MAX, interpreter, runnable
from wherry.launcher.proc.own_root import inside
from wherry.launcher.proc.paths import PROGRAMS, Paths, Promise
from wherry.launcher.proc.reach import RootLink, WayOut

LINKER = b"/lib64/ld-linux-x86-64.so.2"
HEAD_BYTES, PART_BYTES = 64, 56


def program(linker: bytes = LINKER, body: bytes = b"") -> bytes:
    """An ELF file of 64 bits that names a linker; nothing that runs."""
    at = HEAD_BYTES + 2 * PART_BYTES
    head = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("=HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, PART_BYTES, 2, 0, 0, 0)
    )
    other = struct.pack("=IIQQQQQQ", 6, 4, 64, 64, 64, 112, 112, 8)
    part = struct.pack("=IIQQQQQQ", 3, 4, at, 0x1000 + at, 0x2000, len(linker) + 1, len(linker) + 1, 1)
    return head + other + part + linker + b"\0" + body


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    for name in ("usr/bin", "usr/lib64", "etc", "srv"):
        (folder / name).mkdir(parents=True)
    for link, to in {
        "bin": "usr/bin",
        "lib64": "usr/lib64",
        "etc/up": "../..",
        "srv/abs": "/etc",
        "srv/out": "/proc/x",
    }.items():
        (folder / link).symlink_to(to)
    (folder / "srv/loop").symlink_to("loop")
    (folder / "usr/bin/tool").write_bytes(program())
    (folder / "usr/bin/tool").chmod(0o755)
    (folder / "usr/lib64/ld-linux-x86-64.so.2").write_bytes(b"linker")
    return folder


@pytest.fixture
def guest(root: Path, tmp_path: Path) -> Guest:
    (tmp_path / "programs").mkdir()
    (tmp_path / "volume").mkdir()
    where = os.fsencode(tmp_path)
    return Guest.of_files(
        Paths(
            [
                Promise(b"/", os.fsencode(root)),
                Promise(PROGRAMS, where + b"/programs", readonly=True),
                Promise(b"/etc/volume", where + b"/volume"),
            ]
        )
    )


@pytest.mark.parametrize(
    ("name", "real"),
    [
        (b"/", b"/root"),
        (b"/etc", b"/root/etc"),
        (b"//etc/./x", b"/root/etc/x"),
        (b"/../../etc", b"/root/etc"),
        (b"/etc/up/etc", b"/root/etc/up/etc"),
        (b"/bin/../lib64", b"/root/usr/lib64"),
        (b"/srv/abs/../bin", b"/root/bin"),
        (b"/etc/volume/x", b"/volume/x"),
        (b"/etc/volume/../x", b"/root/etc/x"),
        (b"/proc/self/root/etc", b"/root/etc"),
        (b"/proc//1/./root/etc", b"/root/etc"),
        (b"/proc/1/task/2/root/etc/volume", b"/volume"),
        (b"/proc/../etc", b"/root/etc"),
    ],
)
def test_names_lead_into_the_root(guest: Guest, tmp_path: Path, name: bytes, real: bytes) -> None:
    found = guest.find(name, changes=False)
    assert found is not None
    assert found.real == os.fsencode(tmp_path) + real


def test_a_name_that_only_begins_like_a_volumes_real_one_is_the_roots(guest: Guest, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/volume-of-the-image"
    found = guest.find(name, changes=False)
    assert found is not None
    assert found.real == os.fsencode(tmp_path) + b"/root" + name


def test_no_path_has_more_links_than_the_kernel_follows(guest: Guest, tmp_path: Path) -> None:
    """Each of these is looked at by itself, since it leads into a volume and out of it again."""
    (tmp_path / "volume/back").symlink_to("/srv")
    (tmp_path / "root/srv/away").symlink_to("/etc/volume/back")
    found = guest.find(b"/srv/away/../srv/away/../etc", changes=False)
    assert found is not None
    assert found.real == os.fsencode(tmp_path / "root/etc")
    with pytest.raises(OSError, match="Too many levels"):
        guest.find(b"/srv/away/.." * 30 + b"/etc", changes=False)


@pytest.mark.parametrize("name", [b"/proc", b"/proc/self/stat", b"/sys/x", b"/dev/null"])
def test_what_is_the_kernels_stays_so(guest: Guest, name: bytes) -> None:
    assert guest.find(name, changes=True) is None


def test_ways_to_what_is_the_kernels(guest: Guest) -> None:
    assert isinstance(guest.find(b"/etc/../proc/x", changes=False), WayOut)
    assert isinstance(guest.find(b"/proc/self/root", changes=False), RootLink)


def test_a_real_path_is_the_callers_own(guest: Guest, root: Path) -> None:
    """Of a call that is made again."""
    assert guest.find(os.fsencode(root / "etc"), changes=False) is None
    assert guest.shown(os.fsencode(root)) == b"/"
    assert guest.shown(os.fsencode(root / "etc")) == b"/etc"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/bin/tool", b"/usr/bin/tool"), (b"/etc/up/etc/up/srv", b"/srv"), (b"/srv/abs/x/..", b"/etc"), (b"/", b"/"),
        (b"/srv/out/y", b"/proc/x/y"), (b"/none/../etc", b"/etc"),
    ],
)  # fmt: skip
def test_links_stay_inside(root: Path, path: bytes, found: bytes) -> None:
    assert inside(os.fsencode(root), path) == found


def test_a_link_without_an_end(root: Path) -> None:
    with pytest.raises(Exception, match="too many links"):
        inside(os.fsencode(root), b"/srv/loop")


def test_a_copy_differs_in_its_linker_alone(guest: Guest, root: Path) -> None:
    real = os.fsencode(root / "usr/bin/tool")
    made = runnable(guest, real, b"/bin/tool")
    assert guest.shown(made) == b"/usr/bin/tool"
    assert runnable(guest, made, b"x") == made
    before, after = Path(os.fsdecode(real)).read_bytes(), Path(os.fsdecode(made)).read_bytes()
    linker = os.fsencode(root / "usr/lib64/ld-linux-x86-64.so.2")
    assert after[len(before) :] == linker + b"\0"
    entry = HEAD_BYTES + PART_BYTES
    assert (
        after[: len(before)][:entry] + after[entry + PART_BYTES : len(before)]
        == before[:entry] + before[entry + PART_BYTES :]
    )
    fd = os.open(made, os.O_RDONLY)
    found = interpreter(fd)
    os.close(fd)
    assert found is not None
    assert found.path == linker


def test_a_program_that_changed_is_copied_again(guest: Guest, root: Path) -> None:
    tool = root / "usr/bin/tool"
    before = runnable(guest, os.fsencode(tool), b"tool")
    tool.write_bytes(program(body=b"other"))
    after = runnable(guest, os.fsencode(tool), b"tool")
    assert before != after
    assert b"other" in Path(os.fsdecode(after)).read_bytes()


def test_a_process_is_called_what_it_was_executed_by(guest: Guest, root: Path) -> None:
    real = os.fsencode(root / "usr/bin/tool")
    link = runnable(guest, real, b"/etc/other")
    assert os.path.basename(link) == b"other"
    assert os.path.realpath(link) == runnable(guest, real, b"tool")
    assert guest.find(link, changes=False) is None


def test_bytes_of_copies_are_bounded(guest: Guest, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wherry.launcher.proc.interpreters.COPIES_BYTES_MAX", 3 * len(program()))
    for number in range(5):
        name = root / f"usr/bin/tool-{number}"
        name.write_bytes(program())
        runnable(guest, os.fsencode(name), b"")
    assert len(list((tmp_path / "programs").iterdir())) == 3


def test_copies_are_bounded(guest: Guest, root: Path, tmp_path: Path) -> None:
    for number in range(COPIES_MAX + 3):
        name = root / f"usr/bin/tool-{number}"
        name.write_bytes(program())
        runnable(guest, os.fsencode(name), b"")
    assert len(list((tmp_path / "programs").iterdir())) == COPIES_MAX


@pytest.mark.parametrize("head", [b"", b"#!/bin/sh\n", b"\x7fELF", program()[:100], b"\x7fELF\x01" + program()[5:]])
def test_what_names_no_linker_is_executed_as_it_is(guest: Guest, root: Path, head: bytes) -> None:
    (root / "usr/bin/tool").write_bytes(head)
    real = os.fsencode(root / "usr/bin/tool")
    assert runnable(guest, real, real) == real


def test_a_linker_that_the_image_lacks(guest: Guest, root: Path) -> None:
    (root / "usr/bin/tool").write_bytes(program(b"/lib/other.so"))
    with pytest.raises(FileNotFoundError):
        runnable(guest, os.fsencode(root / "usr/bin/tool"), b"")
