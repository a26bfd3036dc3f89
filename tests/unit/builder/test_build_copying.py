"""Where COPY puts things, and what a path is in an image that is being built."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

import pytest

from wherry.builder.context import BuildContext
from wherry.builder.copying import Layout, Ownership, from_context, from_view
from wherry.builder.users import ownership, user
from wherry.builder.view import View
from wherry.images.layers import OPAQUE_ATTRIBUTE
from wherry.images.rootfs import RootFS
from wherry.launcher import whiteouts


def tree(folder: Path, *paths: str) -> Path:
    """`a/` is a directory, `a>b` a link to b, others are files that hold their own name."""
    folder.mkdir(parents=True, exist_ok=True)
    for text in paths:
        name, arrow, target = text.partition(">")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            path.symlink_to(target)
        elif text.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(text)
    return folder


def listed(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) + (f">{os.readlink(path)}" if path.is_symlink() else "/" if path.is_dir() else "")
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    )


@pytest.fixture
def base(tmp_path) -> Path:
    return tree(tmp_path / "base", "usr/lib/", "lib>usr/lib", "etc/conf", "srv/", "www>/srv", "tmp/")


@pytest.fixture
def context(tmp_path) -> BuildContext:
    folder = tree(
        tmp_path / "context", "one", "two", "app/main.py", "app/sub/x", "app/here>main.py", "app/lib/so", "link>one"
    )
    return BuildContext(folder)


def copied(tmp_path: Path, base: Path, context: BuildContext, *words: str, workdir: str = "/work") -> list[str]:
    *sources, destination = words
    target = tmp_path / "layer"
    target.mkdir()
    found = from_context(context, [name for source in sources for name in context.sources(source)])
    Layout(target, View(RootFS((base,))), Ownership()).copy(found, destination, workdir)
    return listed(target)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("one", "/a"), ["a"]),
        (("one", "/a/"), ["a/one"]),
        (("one", "a"), ["work/a"]),
        (("one", "."), ["work/one"]),
        (("one", "../b"), ["b"]),
        (("one", "/etc"), ["etc/one"]),
        (("one", "/etc/conf"), ["etc/conf"]),
        (("one", "/www"), ["srv/one"]),
        (("one", "/lib/deep/x"), ["usr/lib/deep/x"]),
        (("one", "two", "/d/"), ["d/one", "d/two"]),
        (("app", "/d"), ["d/here>main.py", "d/lib/so", "d/main.py", "d/sub/x"]),
        (("app", "/"), ["here>main.py", "main.py", "sub/x", "usr/lib/so"]),
        (("app", "one", "/d/"), ["d/here>main.py", "d/lib/so", "d/main.py", "d/one", "d/sub/x"]),
        (("link", "/d/"), ["d/link"]),
        (("app/here", "/d/"), ["d/here"]),
    ],
    ids=" ".join,
)
def test_destinations(tmp_path, base, context, words, expected):
    assert copied(tmp_path, base, context, *words) == expected


def test_the_last_of_several_sources_wins(tmp_path, base, context):
    copied(tmp_path, base, context, "one", "two", "one", "/d/")
    tree(context.folder, "other/one")
    Layout(tmp_path / "layer", View(RootFS((base,))), Ownership()).copy(from_context(context, ["other"]), "/d/", "/")
    assert (tmp_path / "layer/d/one").read_text() == "other/one"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("one", "two", "/d"), "must be a directory and end with a /"),
        (("one", "/etc/conf/"), None),
        (("app", "/etc/conf"), None),
    ],
)
def test_destinations_that_cannot_be(tmp_path, base, context, words, message):
    if message is None:
        copied(tmp_path, base, context, *words)  # a directory takes the place of the file
        assert (tmp_path / "layer/etc/conf").is_dir()
        return
    with pytest.raises(ValueError, match=message):
        copied(tmp_path, base, context, *words)


def test_links_among_the_sources_lead_nowhere(tmp_path, base, context):
    outside = tree(tmp_path / "outside", "precious")
    tree(context.folder, f"first/d>{outside}", "second/d/precious")
    with pytest.raises(ValueError, match="cannot copy to non-directory: /d"):
        copied(tmp_path, base, context, "first", "second", "/")
    assert (outside / "precious").read_text() == "precious"


def test_a_file_does_not_replace_a_directory_of_the_same_copy(tmp_path, base, context):
    tree(context.folder, "first/d/x", "second/d")
    with pytest.raises(ValueError, match="cannot replace the directory /d with a file"):
        copied(tmp_path, base, context, "first", "second", "/")


def test_modes_times_and_parents(tmp_path, base, context):
    (base / "srv").chmod(0o2775)
    (context.folder / "app/main.py").chmod(0o750)
    os.utime(context.folder / "app/main.py", (1000, 1000))
    copied(tmp_path, base, context, "app/main.py", "/srv/new/")
    layer = tmp_path / "layer"
    assert stat.S_IMODE((layer / "srv").stat().st_mode) == 0o2775
    assert stat.S_IMODE((layer / "srv/new").stat().st_mode) == 0o755
    found = (layer / "srv/new/main.py").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o750, 1000)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user cannot give files away")
def test_owners(tmp_path, base, context):
    os.chown(base / "srv", 7, 8)
    target = tmp_path / "layer"
    target.mkdir()
    Layout(target, View(RootFS((base,))), Ownership(10, 20, 0o600)).copy(
        from_context(context, ["one"]), "/srv/new/", "/"
    )
    owners = {
        path: ((target / path).stat().st_uid, (target / path).stat().st_gid)
        for path in ("srv", "srv/new", "srv/new/one")
    }
    assert owners == {"srv": (7, 8), "srv/new": (10, 20), "srv/new/one": (10, 20)}
    assert stat.S_IMODE((target / "srv/new/one").stat().st_mode) == 0o600


def test_of_another_image(tmp_path, base):
    view = View(RootFS((base,)))
    found = from_view(view, ["/www", "etc", "lib"])
    assert [(source.name, source.path) for source in found] == [
        ("www", base / "srv"),
        ("etc", base / "etc"),
        ("lib", base / "usr/lib"),
    ]
    assert [name for name, _ in found[1].files] == ["conf"]
    with pytest.raises(FileNotFoundError):
        from_view(view, ["/nothing"])


def view_of(tmp_path: Path) -> View:
    low = tree(tmp_path / "low", "etc/a", "etc/b", "gone/x", "opaque/old", "replaced/x", "up>..", "abs>/etc", "rel>abs")
    high = tree(tmp_path / "high", "etc/b", "opaque/new", "replaced")
    whiteouts.make(high / "gone")
    whiteouts.make(high / "etc/a")
    os.setxattr(high / "opaque", OPAQUE_ATTRIBUTE, b"y")
    return View(RootFS((high, low)))


def test_a_view_is_what_overlayfs_would_show(tmp_path):
    view = view_of(tmp_path)

    def where(path: str) -> str | None:
        found = view.find(PurePosixPath(path))
        return str(found.relative_to(tmp_path)) if found else None

    assert where("/etc/b") == "high/etc/b"
    assert where("/etc/a") is None
    assert where("/gone") is None
    assert where("/gone/x") is None
    assert where("/opaque/new") == "high/opaque/new"
    assert where("/opaque/old") is None
    assert where("/replaced") == "high/replaced"
    assert where("/replaced/x") is None
    assert view.children(PurePosixPath("/etc")) == ["b"]
    assert view.children(PurePosixPath("/opaque")) == ["new"]
    assert [str(path) for path, _ in view.walk(PurePosixPath("/opaque"))] == ["/opaque/new"]


def test_links_are_followed_inside_the_image(tmp_path):
    view = view_of(tmp_path)
    (tmp_path / "low" / "loop").symlink_to("loop")
    for path, expected in (
        ("/abs/b", "/etc/b"),
        ("/rel/b", "/etc/b"),
        ("/up/up/etc/b", "/etc/b"),
        ("/abs/../etc/b", "/etc/b"),
        ("/nothing/../etc", "/etc"),
        ("/loop/x", "/loop/x"),
    ):
        assert str(view.resolve(PurePosixPath(path))) == expected
    assert view.is_directory(PurePosixPath("/rel"))
    assert not view.is_directory(PurePosixPath("/replaced"))


def test_of_the_machine_only_what_containers_see_too():
    view = View(RootFS(host=True))
    assert view.find(PurePosixPath("/etc/passwd")) == Path("/etc/passwd")
    assert view.is_directory(PurePosixPath("/root"))
    assert view.children(PurePosixPath("/tmp")) == []
    for hidden in ("/proc/self", "/var/log/x", "/home/x", f"{Path.home()}/x"):
        assert view.find(PurePosixPath(hidden)) is None


PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:100:101:App:/srv/app:/bin/sh\nbroken\nodd:x:y:z::/:\n"
GROUP = "root:x:0:\nweb:x:33:app,other\nlog:x:44:app\n"


@pytest.fixture
def view(tmp_path) -> View:
    tree(tmp_path / "image", "etc/")
    (tmp_path / "image/etc/passwd").write_text(PASSWD)
    (tmp_path / "image/etc/group").write_text(GROUP)
    return View(RootFS((tmp_path / "image",)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 0, (), "/root")),
        ("0", (0, 0, (), "/root")),
        ("app", (100, 101, (33, 44), "/srv/app")),
        ("100", (100, 101, (33, 44), "/srv/app")),
        ("app:web", (100, 33, (), "/srv/app")),
        ("app:7", (100, 7, (), "/srv/app")),
        ("10001", (10001, 0, (), "/")),
        ("10001:10002", (10001, 10002, (), "/")),
    ],
)
def test_users(view, text, expected):
    found = user(view, text)
    assert (found.uid, found.gid, found.groups, found.home) == expected


@pytest.mark.parametrize(
    ("chown", "expected"),
    [("", (0, 0)), ("app", (100, 101)), ("100", (100, 100)), ("app:web", (100, 33)), ("5:6", (5, 6))],
)
def test_ownership(view, chown, expected):
    found = ownership(view, chown, "755")
    assert ((found.uid, found.gid), found.mode) == (expected, 0o755)


def test_users_and_modes_that_are_not_there(view):
    for text in ("nobody", "odd", "broken"):
        with pytest.raises(ValueError, match=f"unable to find user {text}: no matching entries in passwd file"):
            user(view, text)
        with pytest.raises(ValueError, match=f"no user {text}"):
            ownership(view, text, "")
    with pytest.raises(ValueError, match="unable to find group none"):
        user(view, "app:none")
    with pytest.raises(ValueError, match=r"--chmod=u\+x: must be octal"):
        ownership(view, "", "u+x")
