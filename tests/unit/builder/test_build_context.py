"""What of a folder a build sees: .dockerignore, sources, links, and when content counts as changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.builder.context import BuildContext, ContextError
from wherry.builder.ignore import IgnoreError, IgnoreRules


@pytest.mark.parametrize(
    ("rules", "ignored", "kept"),
    [
        ("*.pyc", ["a.pyc", "a.pyc/below"], ["a/b.pyc", "a.py"]),
        ("**/*.pyc", ["a.pyc", "a/b/c.pyc"], ["a.py"]),
        ("node_modules", ["node_modules", "node_modules/x/y"], ["a/node_modules", "node_modules2"]),
        ("/build/", ["build", "build/x"], ["a/build"]),
        ("**", ["a", "a/b"], []),
        ("docs/**", ["docs/a", "docs/a/b"], ["docs"]),
        ("a?c", ["abc"], ["ac", "a/c"]),
        ("[a-c]x", ["ax", "cx"], ["dx"]),
        ("[^a]x", ["bx"], ["ax"]),
        ("*/temp*", ["a/temp", "a/temperature/x"], ["temp", "a/b/temp"]),
        (r"a\*b", ["a*b"], ["axb"]),
        ("# a comment\n\n  x  ", ["x"], ["# a comment"]),
        ("*\n!keep", ["a"], ["keep", "keep/x"]),
        ("*.md\n!README.md\nREADME.md", ["README.md", "a.md"], []),
        ("!a\na", ["a"], []),
        (".", [], ["a"]),
        ("../x\n./y", ["y"], ["x"]),
        ("a[", ["a["], ["a"]),
    ],
)
def test_rules(rules, ignored, kept):
    found = IgnoreRules(rules)
    assert [path for path in ignored if not found(path)] == []
    assert [path for path in kept if found(path)] == []


def test_a_bad_pattern_is_named_with_its_line():
    with pytest.raises(IgnoreError, match=r"\.dockerignore:2: bad pattern '\[z-a\]'"):
        IgnoreRules("a\n[z-a]")


@given(st.text(alphabet="ab*?[]^-!\\/.|&~# \n", max_size=16), st.text(alphabet="ab/.", min_size=1, max_size=8))
def test_any_rules_judge_any_path(rules, path):
    try:
        found = IgnoreRules(rules)
    except IgnoreError:
        return
    assert found(path) in (True, False)


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


@pytest.fixture
def folder(tmp_path) -> Path:
    write(tmp_path / "context", "Dockerfile", "app/main.py", "app/main.pyc", "app/deep/x.pyc", "readme.md", "a.md")
    write(tmp_path, "outside")
    return tmp_path / "context"


def load(folder: Path, ignore: str = "") -> BuildContext:
    (folder / ".dockerignore").write_text(ignore)
    return BuildContext.load(folder, folder / "Dockerfile")


def test_sources(folder):
    context = load(folder)
    assert context.sources(".") == context.sources("/") == context.sources("app/..") == [""]
    assert context.sources("app") == context.sources("/app/") == context.sources("./app") == ["app"]
    assert context.sources("*.md") == ["a.md", "readme.md"]
    assert context.sources("app/m*") == ["app/main.py", "app/main.pyc"]
    assert context.sources("*/deep") == ["app/deep"]


@pytest.mark.parametrize("pattern", ["nothing", "*.txt", "app/nothing", "app/main.py/x"])
def test_what_is_not_there(folder, pattern):
    with pytest.raises(ContextError, match="is not in the build context"):
        load(folder).sources(pattern)


def test_what_is_ignored_is_not_there(folder):
    context = load(folder, "**/*.pyc\na.md\n")
    assert context.sources("*.md") == ["readme.md"]
    assert [name for name, _ in context.walk("app")] == ["deep", "main.py"]
    with pytest.raises(ContextError, match=r"\.dockerignore leaves it out"):
        context.sources("app/main.pyc")


def test_exceptions_below_an_ignored_directory(folder):
    context = load(folder, "app\n!app/deep/x.pyc\n")
    assert context.sources("app") == ["app"]
    assert [name for name, _ in context.walk("app")] == ["deep/x.pyc"]
    assert [name for name, _ in context.walk("")] == [
        ".dockerignore",
        "Dockerfile",
        "a.md",
        "app/deep/x.pyc",
        "readme.md",
    ]


def test_a_dockerfile_has_rules_of_its_own(folder):
    (folder / "Dockerfile.dockerignore").write_text("app")
    with pytest.raises(ContextError):
        load(folder, "").sources("app")


@pytest.mark.parametrize("pattern", ["../outside", "app/../../outside", "..", "/../outside"])
def test_nothing_above_the_context(folder, pattern):
    with pytest.raises(ContextError, match="outside the build context"):
        load(folder).sources(pattern)


def test_links_are_followed_inside_as_if_the_folder_were_the_root(folder):
    (folder / "inside").symlink_to("/app/main.py")
    (folder / "up").symlink_to("../../../app")
    (folder / "out").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to("loop")
    context = load(folder)
    assert context.real("inside") == folder / "app/main.py"
    assert [name for name, _ in context.walk("up")] == ["deep", "deep/x.pyc", "main.py", "main.pyc"]
    assert context.sources("up/deep") == ["up/deep"]
    for name in ("out", "out/x"):
        with pytest.raises(ContextError, match="is not in the build context"):
            context.sources(name)
    assert context.real("loop") == folder / "loop"


def test_an_unreadable_dockerignore_is_named(folder):
    (folder / ".dockerignore").write_bytes(b"\xff\xfe")
    with pytest.raises(ContextError, match=r"\.dockerignore"):
        BuildContext.load(folder, folder / "Dockerfile")


def test_the_digest_follows_names_modes_and_content_and_nothing_else(folder):
    context = load(folder, "**/*.pyc")
    before = context.digest([""])
    os.utime(folder / "app/main.py", (1, 1))
    (folder / "app/other.pyc").write_text("ignored")
    assert context.digest([""]) == before
    assert context.digest(["app"]) != before
    seen = {before}
    for change in (
        lambda: (folder / "app/main.py").write_text("app/main.pY"),
        lambda: (folder / "app/main.py").chmod(0o755),
        lambda: (folder / "app/main.py").rename(folder / "app/moved.py"),
        lambda: (folder / "app/link").symlink_to("moved.py"),
        lambda: (folder / "app/empty").mkdir(),
    ):
        change()
        assert context.digest([""]) not in seen
        seen.add(context.digest([""]))


def test_content_of_the_same_length_and_time_is_still_noticed(folder):
    context = load(folder)
    file = folder / "app/main.py"
    status = file.stat()
    before = context.digest(["app"])
    file.write_text("APP/MAIN.PY")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert context.digest(["app"]) != before
