"""ADD of archives: what is one, where it goes, whose it is, what wins, what is refused, and the cache."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import stat
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from wherry.builder.build import Build, Builder, BuildFailure, Built
from wherry.builder.view import View
from wherry.images.layers import unpack
from wherry.images.rootfs import Image, RootFS
from wherry.images.store import ImageStore
from wherry.images.unpacking import may_give
from wherry.launcher import whiteouts

Entry = tuple[str, str, Mapping[str, Any]]
ROOTS = pytest.mark.skipif(not may_give(), reason="who has no CAP_CHOWN cannot give files away")


def file(name: str, content: str = "", **fields: Any) -> Entry:
    return name, content, {"mode": 0o644, **fields}


def folder(name: str, mode: int = 0o755, **fields: Any) -> Entry:
    return name, "", {"type": tarfile.DIRTYPE, "mode": mode, **fields}


def link(name: str, target: str) -> Entry:
    return name, "", {"type": tarfile.SYMTYPE, "linkname": target}


def hard_link(name: str, target: str) -> Entry:
    return name, "", {"type": tarfile.LNKTYPE, "linkname": target}


def tar(*entries: Entry) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content, fields in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in fields.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content.encode()))
    return buffer.getvalue()


class Shop:
    """A context and a store; nothing is run."""

    def __init__(self, path: Path) -> None:
        self.folder = path / "context"
        self.folder.mkdir()
        self.store = ImageStore(path / "images")

    def write(self, **files: bytes) -> None:
        for name, content in files.items():
            path = self.folder / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)

    async def build(self, *lines: str) -> Built:
        (self.folder / "Dockerfile").write_text("\n".join(lines))
        builder = Builder(self.store, self._runtime, random.Random(1), {})
        return await builder(Build(self.folder, self.folder / "Dockerfile", "x"), lambda line: None)

    async def _runtime(self) -> Any:
        raise AssertionError("nothing is run")

    async def refused(self, *lines: str) -> str:
        before = sorted(self.store.blobs.all())
        with pytest.raises(BuildFailure) as caught:
            await self.build(*lines)
        assert os.listdir(self.store.root / "tmp") == []
        assert sorted(self.store.blobs.all()) == before
        return str(caught.value).replace(str(self.folder), "")


def contents(image: Image) -> dict[str, str]:
    """What the image shows: files with their text, `>` links, `/` directories with nothing in them."""
    view, found = View(image.rootfs), {}
    for path, real in view.walk(PurePosixPath("/")):
        status = real.lstat()
        if stat.S_ISLNK(status.st_mode):
            found[str(path)] = f">{os.readlink(real)}"
        elif stat.S_ISREG(status.st_mode):
            found[str(path)] = real.read_text()
        elif not view.children(path):
            found[str(path)] = "/"
    return found


def top(image: Image) -> Path:
    return image.rootfs.layers[0]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


SMALL = tar(folder("./"), folder("./etc"), file("./etc/conf", "x=1"), link("./alias", "etc/conf"))
SHOWN = {"/d/alias": ">etc/conf", "/d/etc/conf": "x=1"}


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["plain", "gzip", "bzip2", "xz"]
)
@pytest.mark.parametrize("destination", ["/d", "/d/"])
async def test_what_is_in_an_archive_comes_into_the_destination(
    shop: Shop, compress: Callable[[bytes], bytes], destination: str
) -> None:
    shop.write(data=compress(SMALL))
    assert contents((await shop.build("FROM scratch", f"ADD data {destination}")).image) == SHOWN


async def test_the_content_says_what_an_archive_is_and_not_the_name(shop: Shop) -> None:
    (shop.folder / "empty.tar.gz").write_bytes(b"")
    (shop.folder / "notes.tar").write_bytes(b"about tars, and long enough for a header" * 20)
    (shop.folder / "text.gz").write_bytes(gzip.compress(b"no tar"))
    (shop.folder / "like.gz").write_bytes(b"\x1f\x8b and more")
    (shop.folder / "like.bz2").write_bytes(b"BZh and more")
    (shop.folder / "nothing.tar").write_bytes(bytes(10240))
    await shop.build("FROM scratch", "ADD *.tar *.gz *.bz2 /d/")
    (layer,) = (shop.store.root / "layers").iterdir()
    names = ["empty.tar.gz", "like.bz2", "like.gz", "notes.tar", "nothing.tar", "text.gz"]
    assert {name: (layer / "d" / name).read_bytes() for name in sorted(os.listdir(layer / "d"))} == {
        name: (shop.folder / name).read_bytes() for name in names
    }


async def test_several_sources_by_wildcard_and_name(shop: Shop) -> None:
    shop.write(a1=SMALL, a2=gzip.compress(tar(file("etc/conf", "x=2"), file("more"))), plain=b"text", dir__inner=SMALL)
    found = contents((await shop.build("FROM scratch", "ADD a* plain dir /d/", "ADD plain /renamed")).image)
    inner = (top((await shop.build("FROM scratch", "ADD dir /")).image) / "inner").read_bytes()
    assert inner == SMALL  # an archive in a directory is one of its files
    assert {name: text for name, text in found.items() if name != "/d/inner"} == {
        "/d/alias": ">etc/conf",
        "/d/etc/conf": "x=2",
        "/d/more": "",
        "/d/plain": "text",
        "/renamed": "text",
    }
    assert "end with a /" in await shop.refused("FROM scratch", "ADD a* /d")


async def test_it_is_left_as_it_is_for_who_wants_that(shop: Shop) -> None:
    shop.write(a=SMALL)
    for line in ("ADD --unpack=false a /d/", "COPY a /d/"):
        assert (top((await shop.build("FROM scratch", line)).image) / "d/a").read_bytes() == SMALL
    assert contents((await shop.build("FROM scratch", "ADD --unpack a /d/")).image) == SHOWN


BASE = tar(
    folder("usr"), folder("usr/lib", 0o2751), file("usr/lib/old", "old"), link("lib", "usr/lib"), link("away", "/usr/lib"),
    file("a", "old"), link("b", "a"), folder("c"), file("c/kept", "kept"), folder("d"), file("d/gone"), file("e", "old"),
)  # fmt: skip


async def test_conflicts_end_as_with_tar(shop: Shop) -> None:
    """File by file the archive wins, directories are joined."""
    shop.write(base=BASE, new=tar(file("a", "new"), file("b", "new"), file("c/more"), file("d", "file"), folder("e")))
    found = contents((await shop.build("FROM scratch", "ADD base /", "ADD new /")).image)
    assert found == {
        "/usr/lib/old": "old", "/lib": ">usr/lib", "/away": ">/usr/lib",
        "/a": "new", "/b": "new", "/c/kept": "kept", "/c/more": "", "/d": "file", "/e": "/",
    }  # fmt: skip


async def test_links_of_the_image_are_followed_to_what_the_archive_only_passes_through(shop: Shop) -> None:
    shop.write(base=BASE, new=tar(file("lib/x"), file("away/y")), third=tar(file("z")))
    image = (await shop.build("FROM scratch", "ADD base /", "ADD new /", "ADD third /away")).image
    assert {"/usr/lib/old", "/usr/lib/x", "/usr/lib/y", "/usr/lib/z"} <= set(contents(image))
    assert stat.S_IMODE((top(image) / "usr/lib").stat().st_mode) == 0o2751  # a directory nobody spoke of stays as it is


async def test_a_directory_of_the_archive_takes_the_place_of_a_link(shop: Shop) -> None:
    shop.write(base=BASE, new=tar(file("lib/before"), folder("lib"), file("lib/after"), file("lib/d/x")))
    image = (await shop.build("FROM scratch", "ADD base /", "ADD new /")).image
    found = {path for path in contents(image) if "lib" in path}
    assert found == {"/usr/lib/old", "/usr/lib/before", "/lib/after", "/lib/d/x"}


async def test_later_sources_add_to_what_earlier_ones_shut(shop: Shop) -> None:
    """A directory nobody may write gets that mode last."""
    shop.write(one=tar(folder("d", 0o555, mtime=5), file("d/a")), two=tar(file("d/b"), folder("d", 0o511, mtime=7)))
    image = (await shop.build("FROM scratch", "ADD one two /")).image
    status = (top(image) / "d").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o511, 7)
    assert set(contents(image)) == {"/d/a", "/d/b"}


async def test_modes_times_links_and_pipes(shop: Shop) -> None:
    shop.write(
        a=tar(
            folder("d", 0o1777, mtime=1000),
            file("d/tool", "x", mode=0o4750, mtime=2000, pax_headers={"SCHILY.xattr.user.colour": "blue"}),
            hard_link("d/same", "d/tool"),
            ("d/pipe", "", {"type": tarfile.FIFOTYPE}),
            ("d/null", "", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}),
            ("d/removed", "", {"type": tarfile.CHRTYPE}),
        )
    )
    layer = top((await shop.build("FROM scratch", "ADD a /")).image)
    assert sorted(os.listdir(layer / "d")) == ["pipe", "same", "tool"]
    tool, directory = (layer / "d/tool").stat(), (layer / "d").stat()
    assert (stat.S_IMODE(tool.st_mode), tool.st_mtime, tool.st_nlink) == (0o4750, 2000, 2)
    assert (stat.S_IMODE(directory.st_mode), directory.st_mtime) == (0o1777, 1000)
    assert os.getxattr(layer / "d/tool", "user.colour") == b"blue"
    assert stat.S_ISFIFO((layer / "d/pipe").stat().st_mode)


@pytest.mark.root
@ROOTS
async def test_owners_are_the_archives_unless_somebody_says_whose(shop: Shop) -> None:
    shop.write(
        a=tar(folder("d", uid=7, gid=8), file("d/f", uid=7, gid=8), link("d/l", "f"), file("new/f", uid=7, gid=8))
    )

    async def owners(flags: str) -> dict[str, tuple[int, int, int]]:
        layer = top((await shop.build("FROM scratch", f"ADD {flags} a /to/")).image) / "to"
        found = {name: (layer / name).lstat() for name in ("", "d", "d/f", "d/l", "new", "new/f")}
        return {name: (each.st_uid, each.st_gid, stat.S_IMODE(each.st_mode)) for name, each in found.items()}

    assert await owners("") == {
        "": (0, 0, 0o755), "d": (7, 8, 0o755), "d/f": (7, 8, 0o644), "d/l": (0, 0, 0o777),
        "new": (0, 0, 0o755), "new/f": (7, 8, 0o644),
    }  # fmt: skip
    assert {owner[:2] for owner in (await owners("--chown=0:0")).values()} == {(0, 0)}
    changed = await owners("--chown=10:20 --chmod=750")
    assert {owner[:2] for owner in changed.values()} == {(10, 20)}
    modes = {name: f"{changed[name][2]:o}" for name in ("", "d", "d/f", "new", "new/f")}
    assert modes == {"": "755", "d": "750", "d/f": "750", "new": "755", "new/f": "750"}


@pytest.mark.root
@ROOTS
def test_root_of_a_container_that_may_give_nothing_away_keeps_what_it_unpacks(shop: Shop) -> None:
    """Without CAP_CHOWN: archives and layers, --chown."""
    shop.write(
        a=tar(folder("d", uid=7, gid=8), file("d/f", uid=7, gid=8)), Dockerfile=b"FROM scratch\nADD --chown=5:6 a /"
    )
    script = f"""
        import asyncio, io, random
        from pathlib import Path
        from wherry.builder.build import Build, Builder
        from wherry.images.layers import unpack
        from wherry.images.store import ImageStore
        from wherry.launcher import capabilities
        capabilities.apply(frozenset())
        folder = Path({str(shop.folder)!r})
        unpack(io.BytesIO((folder / "a").read_bytes()), "", folder / "layer")
        builder = Builder(ImageStore(Path({str(shop.store.root)!r})), None, random.Random(1), {{}})
        built = asyncio.run(builder(Build(folder, folder / "Dockerfile", "x"), lambda line: None))
        for layer in (folder / "layer", *built.image.rootfs.layers):
            print((layer / "d/f").stat().st_uid, (layer / "d").stat().st_gid)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0 0\n0 0\n", "")


async def test_a_changed_archive_is_added_again_and_no_other(shop: Shop) -> None:
    shop.write(a=SMALL)
    lines = ("FROM scratch", "ADD a /d", "LABEL x=1")
    first = await shop.build(*lines)
    assert (await shop.build(*lines)).cached
    assert not (await shop.build("FROM scratch", "COPY a /d")).cached
    changed = tar(folder("./"), folder("./etc"), file("./etc/conf", "x=2"), link("./alias", "etc/conf"))
    assert len(changed) == len(SMALL)
    status = (shop.folder / "a").stat()
    shop.write(a=changed)
    os.utime(shop.folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    again = await shop.build(*lines)
    assert not again.cached
    assert (contents(first.image)["/d/etc/conf"], contents(again.image)["/d/etc/conf"]) == ("x=1", "x=2")


async def test_the_layer_goes_out_and_in_as_it_is(shop: Shop, tmp_path: Path) -> None:
    shop.write(a=tar(folder("d", 0o555), file("d/f", "x", mtime=5), hard_link("g", "d/f"), link("l", "d/f")))
    image = (await shop.build("FROM scratch", "ADD a /")).image
    (descriptor, diff_id), *_ = shop.store.layers_of(shop.store.manifest(image.digest))
    with shop.store.blobs.path(descriptor.digest).open("rb") as blob:
        assert unpack(blob, descriptor.media_type, tmp_path / "again") == diff_id
    assert (tmp_path / "again/g").stat().st_ino == (tmp_path / "again/d/f").stat().st_ino


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([file("../evil")], "entry '../evil' leads outside"),
        ([file("a/../../evil")], "leads outside"),
        ([link("out", "/"), file("out/evil")], "entry 'out/evil': cannot copy to non-directory: /d/out"),
        ([link("out", "{outside}"), file("out/sub/evil")], "cannot copy to non-directory: /d/out"),
        ([link("out", "{outside}"), file("out/evil")], "cannot copy to non-directory: /d/out"),
        ([folder("a"), link("a/b", ".."), folder("a/b/evil")], "cannot copy to non-directory: /d/a/b"),
        ([hard_link("evil", "../secret")], "leads outside"),
        ([hard_link("evil", "/etc/passwd")], "cannot be unpacked"),
        ([link("out", "/"), hard_link("evil", "out/etc/passwd")], "cannot copy to non-directory: /d/out"),
        ([hard_link("evil", "nothing")], "cannot be unpacked"),
        ([hard_link("evil", "/")], "is a hard link to '/'"),
        ([file(".wh.evil")], "such a name says that a file is deleted"),
        ([file("a/.wh..wh..opq")], "such a name says that a file is deleted"),
        ([file("a"), file("a/b")], "cannot copy to non-directory: /d/a"),
        ([file("a/" * 300 + "b")], "lies in more than 200 directories"),
    ],
)
async def test_nothing_lands_elsewhere(shop: Shop, tmp_path: Path, entries: list[Entry], why: str) -> None:
    outside = tmp_path / "outside"
    (outside / "sub").mkdir(parents=True)
    given = [(name, text, {k: str(v).format(outside=outside) if k == "linkname" else v for k, v in fields.items()})
             for name, text, fields in entries]  # fmt: skip
    shop.write(x=tar(*given))
    text = await shop.refused("FROM scratch", "ADD x /d/")
    assert text.startswith("/Dockerfile:2: ADD x /d/\n  /x: ")
    assert why in text
    assert [path.name for path in outside.rglob("*")] == ["sub"]


async def test_absolute_names_are_below_the_destination(shop: Shop) -> None:
    shop.write(x=tar(file("/etc/evil"), link("up", "../../..")))
    assert contents((await shop.build("FROM scratch", "ADD x /d")).image) == {"/d/etc/evil": "", "/d/up": ">../../.."}


BIG = tar(file("a", "1" * 10_000), file("b", "2" * 10_000))
SECOND = 512 + 10_240  # where its second header is


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(BIG, mtime=0)[:-20],
        gzip.compress(BIG, mtime=0)[:-8] + bytes(8),
        lzma.compress(BIG)[:-20],
        BIG[:4096],
        BIG[:SECOND] + b"\xff" * 512 + BIG[SECOND + 512 :],
        BIG[: SECOND + 100],
        tar(file("a", mtime=1e300)),
        tar(file("a", pax_headers={"path": "a\0b"})),
    ],
    ids=["gzip", "checksum", "xz", "content", "header", "half a header", "time", "name"],
)
async def test_what_is_broken_is_named_and_leaves_nothing(shop: Shop, data: bytes) -> None:
    shop.write(good=SMALL)
    (shop.folder / "x.tar").write_bytes(data)
    text = await shop.refused("FROM scratch", "", "ADD good x.tar /d/")
    assert text.startswith("/Dockerfile:3: ADD good x.tar /d/\n  /x.tar: the archive cannot be unpacked: ")


@pytest.mark.parametrize("data", [gzip.compress(SMALL)[:30], bz2.compress(BIG)[:-20], lzma.compress(SMALL)[:40]])
async def test_what_is_broken_from_the_beginning_is_no_file_to_copy(shop: Shop, data: bytes) -> None:
    shop.write(x=data)
    text = await shop.refused("FROM scratch", "ADD x /d/")
    assert text.startswith("/Dockerfile:2: ADD x /d/\n  /x: it begins as a compressed file and cannot be read: ")
    assert text.endswith("ADD --unpack=false and COPY copy it as it is")


@pytest.mark.parametrize(("module", "compress"), [("bz2", bz2.compress), ("lzma", lzma.compress)])
async def test_what_this_python_cannot_read_is_named(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, module: str, compress: Callable[[bytes], bytes]
) -> None:
    shop.write(x=compress(SMALL))
    monkeypatch.setitem(sys.modules, module, None)
    text = await shop.refused("FROM scratch", "ADD x /")
    assert text.endswith(f"/x: this Python was built without {module}, which reads it: compress it with gzip")


async def test_zstd_is_refused_by_name(shop: Shop) -> None:
    shop.write(x=b"\x28\xb5\x2f\xfd and so on")
    assert "/x: archives of zstd are not unpacked" in await shop.refused("FROM scratch", "ADD x /")
    await shop.build("FROM scratch", "ADD --unpack=false x /")


def test_of_a_link_that_a_layer_replaced_nothing_is_seen(tmp_path: Path) -> None:
    low, high = tmp_path / "low", tmp_path / "high"
    (low / "usr/lib").mkdir(parents=True)
    (low / "usr/lib/x").write_text("")
    (low / "lib").symlink_to("usr/lib")
    (high / "lib").mkdir(parents=True)
    whiteouts.make(high / "usr")
    view = View(RootFS((high, low)))
    assert view.find(PurePosixPath("/lib/x")) is None
    assert view.find(PurePosixPath("/usr/lib/x")) is None
    assert View(RootFS((low,))).find(PurePosixPath("/lib/x")) is None  # who asks has followed links before
