"""Layers from tar to directory and back: what is changed, what is deleted, and nothing outside."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_samples import digest, entry, folder, hard_link, link, tar

from wherry.images.layers import OPAQUE_ATTRIBUTE, LayerError, unpack
from wherry.images.packing import pack
from wherry.launcher.whiteouts import is_whiteout


def laid_out(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    target = path / "layer"
    data = tar(entries)
    assert unpack(io.BytesIO(data), "", target) == digest(data)
    return target


def repacked(tree: Path) -> bytes:
    buffer = io.BytesIO()
    assert pack(tree, buffer) == digest(buffer.getvalue())
    return buffer.getvalue()


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


def test_files_directories_links_modes_and_times(tmp_path):
    tree = laid_out(
        tmp_path,
        folder("etc", 0o750),
        entry("etc/conf", b"x=1", mode=0o4755, mtime=1000),
        link("etc/alias", "conf"),
        hard_link("etc/same", "etc/conf"),
        entry("etc/pipe", type=tarfile.FIFOTYPE),
    )
    conf = (tree / "etc/conf").stat()
    assert stat.S_IMODE(conf.st_mode) == 0o4755
    assert conf.st_mtime == 1000
    assert stat.S_IMODE((tree / "etc").stat().st_mode) == 0o750
    assert os.readlink(tree / "etc/alias") == "conf"
    assert (tree / "etc/same").stat().st_ino == conf.st_ino
    assert stat.S_ISFIFO((tree / "etc/pipe").stat().st_mode)


def test_gzip_gives_the_diff_id_of_what_is_inside(tmp_path):
    data = tar([entry("a", b"1" * 100_000)])
    assert unpack(io.BytesIO(gzip.compress(data)), "application/whatever", tmp_path / "layer") == digest(data)


def test_deletions_become_what_overlayfs_reads_and_come_back_as_they_were(tmp_path):
    tree = laid_out(
        tmp_path, folder("etc"), entry("etc/.wh.gone"), folder("var"), entry("var/.wh..wh..opq"), entry("var/new")
    )
    assert is_whiteout((tree / "etc/gone").lstat())
    assert os.getxattr(tree / "var", OPAQUE_ATTRIBUTE) == b"y"
    assert names(repacked(tree)) == ["etc", "etc/.wh.gone", "var", "var/.wh..wh..opq", "var/new"]


@pytest.mark.parametrize("deletion_first", [True, False])
def test_a_deleted_and_recreated_directory_hides_the_old_one(tmp_path, deletion_first):
    made = [folder("data"), entry("data/new")]
    deleted = [entry(".wh.data")]
    tree = laid_out(tmp_path, *(deleted + made if deletion_first else made + deleted))
    assert (tree / "data/new").exists()
    assert os.getxattr(tree / "data", OPAQUE_ATTRIBUTE) == b"y"


def test_a_deleted_and_recreated_file_is_just_the_file(tmp_path):
    assert (laid_out(tmp_path, entry("f", b"new"), entry(".wh.f")) / "f").read_bytes() == b"new"


def test_bookkeeping_of_old_drivers_is_left_out(tmp_path):
    assert os.listdir(laid_out(tmp_path, folder(".wh..wh.plnk"), entry(".wh..wh.aufs"), entry("f"))) == ["f"]


def test_a_later_entry_replaces_an_earlier_one(tmp_path):
    tree = laid_out(
        tmp_path,
        folder("a"),
        entry("a/b"),
        link("a", "elsewhere"),
        entry("c"),
        folder("c"),
        entry("c/d"),
        entry("d", b"2"),
    )
    assert os.readlink(tree / "a") == "elsewhere"
    assert (tree / "c/d").exists()


def test_device_nodes_are_left_out(tmp_path):
    tree = laid_out(tmp_path, folder("dev"), entry("dev/sda", type=tarfile.BLKTYPE, devmajor=8))
    assert os.listdir(tree / "dev") == []


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../evil")],
        [entry("a/../../evil")],
        [link("out", "/tmp"), entry("out/evil")],
        [link("out", ".."), folder("out/evil")],
        [folder("a"), link("a/b", "/"), entry("a/b/etc/evil")],
        [hard_link("evil", "../secret")],
        [link("out", "/"), hard_link("evil", "out/etc/passwd")],
        [hard_link("evil", "nothing")],
        [hard_link("evil", "/")],
        [entry(".wh...")],
        [entry(".wh..")],
        [entry("a/.wh.")],
        [link("out", "/tmp"), entry("out/.wh.evil")],
        [link("out", "/tmp"), entry("out/.wh..wh..opq")],
    ],
    ids=lambda entries: " ".join(info.name for info, _ in entries),
)
def test_nothing_lands_outside(tmp_path, entries):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "in").mkdir()
    with pytest.raises(LayerError):
        unpack(io.BytesIO(tar(entries)), "", tmp_path / "in" / "layer")
    assert sorted(os.listdir(tmp_path)) == ["in", "secret"]


def test_modes_of_directories_do_not_reach_through_a_link_that_replaced_one(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    laid_out(tmp_path, folder("a"), folder("a/outside", 0o777), link("a", str(tmp_path)))
    assert stat.S_IMODE(outside.stat().st_mode) == 0o700


def test_directories_without_an_entry_can_be_entered_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        tree = laid_out(tmp_path, entry("a/b/c"))
    finally:
        os.umask(before)
    assert {stat.S_IMODE((tree / path).stat().st_mode) for path in ("", "a", "a/b")} == {0o755}


def test_attributes_of_users_are_kept_and_those_of_overlayfs_are_not(tmp_path):
    headers = {"SCHILY.xattr.user.colour": "blue", f"SCHILY.xattr.{OPAQUE_ATTRIBUTE}": "y"}
    tree = laid_out(tmp_path, entry("f", pax_headers=headers), entry("d", type=tarfile.DIRTYPE, pax_headers=headers))
    assert os.listxattr(tree / "f") == ["user.colour"]
    assert os.listxattr(tree / "d") == ["user.colour"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x28\xb5\x2f\xfd rest", "zstd"),
        (b"\x1f\x8b" + b"x" * 100, "cannot be unpacked"),
        (b"not a tar at all" * 100, "cannot be unpacked"),
        (gzip.compress(tar([entry("a", b"1" * 10_000)]), mtime=0)[:-20], "cannot be unpacked"),
        (tar([entry("a", b"1" * 10_000)])[:4096], "cannot be unpacked"),
        (tar([entry("a"), entry("b")]).replace(b"b", b"c"), "damaged at byte 512"),
        (tar([entry("a", mtime=1e300)]), "cannot be unpacked"),
        (tar([entry("a", pax_headers={"path": "a\0b"})]), "cannot be unpacked"),
        (tar([entry("a/" * 600 + "b")]), "lies in more than 200 directories"),
    ],
    ids=["zstd", "bad gzip", "no tar", "cut gzip", "cut tar", "damaged header", "time", "name", "depth"],
)
def test_damage_is_named(tmp_path, data, message):
    with pytest.raises(LayerError, match=message):
        unpack(io.BytesIO(data), "type", tmp_path / "layer")


def test_packing_is_the_same_for_the_same_tree(tmp_path):
    tree = laid_out(
        tmp_path, folder("b"), entry("b/2", mtime=5), entry("a", mtime=7), hard_link("z", "a"), link("l", "a")
    )
    again = tmp_path / "again"
    data = repacked(tree)
    unpack(io.BytesIO(data), "", again)
    assert repacked(again) == data
    assert names(data) == ["a", "b", "b/2", "l", "z"]


_names = st.sampled_from(
    ["a", "b", "a/b", "a/c", "b/a", ".wh.a", "a/.wh.b", "a/.wh..wh..opq", "../x", "a/../../x", "l/x", "/e"]
)
_entries = st.lists(
    st.one_of(
        st.builds(entry, _names, st.binary(max_size=8)),
        st.builds(folder, _names, st.sampled_from([0o755, 0o000, 0o1777])),
        st.builds(link, _names, st.sampled_from(["/", "..", "a", "/etc", "../../x"])),
        st.builds(hard_link, _names, st.sampled_from(["a", "b", "../x", "l/x", "/"])),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(entries=_entries)
def test_whatever_a_tar_says_only_its_directory_changes(tmp_path_factory, entries):
    base = tmp_path_factory.mktemp("base")
    (base / "x").write_text("untouched")
    before = (base / "x").stat()
    (base / "in").mkdir()
    data = tar(entries)
    try:
        assert unpack(io.BytesIO(data), "", base / "in" / "layer") == digest(data)
    except LayerError:
        pass
    assert sorted(os.listdir(base)) == ["in", "x"]
    assert os.listdir(base / "in") == ["layer"]
    after = (base / "x").stat()
    assert (after.st_mode, after.st_nlink, after.st_mtime) == (before.st_mode, 1, before.st_mtime)
