"""`wherry build` and `wherry image`, as typed."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wherry.cli.main import main


class Terminal:
    """Commands on one state directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"

    def run(self, *words: str | Path, given: bytes = b"") -> Result:
        return CliRunner().invoke(main, [*map(str, words), "--state-dir", str(self.state)], input=given)

    def said(self, *words: str | Path) -> str:
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def failed(self, code: int, *words: str | Path, given: bytes = b"") -> str:
        result = self.run(*words, given=given)
        assert result.exit_code == code, result.output
        return result.output

    def context(self, name: str = "cart", **files: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for file, text in {"Dockerfile": "FROM scratch\nCOPY a /a\n", "a": "1", **files}.items():
            (folder / file.replace("_yaml", ".yaml")).write_text(text)
        return folder


@pytest.fixture
def terminal(tmp_path) -> Terminal:
    return Terminal(tmp_path)


def names(terminal: Terminal) -> list[str]:
    return terminal.said("image", "ls", "-q").split()


def test_a_name_without_a_tag_follows_the_content(terminal):
    folder = terminal.context()
    first = terminal.said("build", folder, "-q").strip()
    assert first.startswith("cart:")
    assert len(first) == len("cart:") + 12
    assert terminal.said("build", folder, "-q", "-t", "cart").strip() == first
    (folder / "a").write_text("2")
    second = terminal.said("build", folder, "-q").strip()
    assert names(terminal) == sorted([first, second])


def test_names_targets_arguments_and_another_file(terminal, monkeypatch):
    text = "ARG V\nFROM scratch AS one\nARG V\nARG W\nLABEL v=$V w=$W\nFROM nowhere:v1\n"
    folder = terminal.context(Other=text)
    monkeypatch.setenv("W", "from outside")
    words = [
        "-f",
        folder / "Other",
        "-t",
        "a:v1",
        "-t",
        "team/b:v2",
        "--target",
        "one",
        "--build-arg",
        "V=1",
        "--build-arg",
        "W",
    ]
    output = terminal.said("build", folder, *words)
    assert output.splitlines()[-2:] == ["a:v1", "team/b:v2"]
    assert "image a:v1" in output
    assert names(terminal) == ["a:v1", "team/b:v2"]


def test_all_the_artifacts_of_a_skaffold_file(terminal):
    text = json.dumps(
        {
            "apiVersion": "skaffold/v4beta14",
            "kind": "Config",
            "build": {
                "artifacts": [
                    {"image": "web", "docker": {"dockerfile": "Web"}, "requires": [{"image": "base", "alias": "BASE"}]},
                    {"image": "base"},
                ]
            },
        }
    )
    folder = terminal.context(Web="ARG BASE\nFROM ${BASE}\nCOPY a /b\n", skaffold_yaml=text)
    built = terminal.said("build", folder, "-q").split()
    assert [name.partition(":")[0] for name in built] == ["base", "web"]
    assert names(terminal) == sorted(built)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["-t", "Bad"], 2, "is not a repository name"),
        (["-t", "a@sha256:" + "0" * 64], 2, "cannot have a digest"),
        (["--build-arg", "NOT_SET_ANYWHERE"], 2, "give a value"),
        (["-p", "x"], 2, "belongs to a skaffold.yaml"),
        (["--target", "x"], 1, "no stage 'x'"),
        (["-f", "/nothing/here"], 1, "No such file"),
    ],
)
def test_usage(terminal, words, code, message):
    assert message in terminal.failed(code, "build", terminal.context(), *words)


def test_failures_have_file_and_line(terminal):
    folder = terminal.context(Dockerfile="FROM scratch\nCOPY nothing /\n")
    text = terminal.failed(1, "build", folder)
    assert f"{folder}/Dockerfile:2: COPY nothing /" in text
    assert "is not in the build context" in text


def test_a_run_without_a_system_says_what_to_start(terminal):
    folder = terminal.context(Dockerfile="FROM wherry.dev/host:v1\nRUN true\n")
    assert "start the system with `wherry up`" in terminal.failed(1, "build", folder)


def test_there_and_back(terminal, tmp_path):
    name = terminal.said("build", terminal.context(), "-q", "-t", "cart:v1").strip()
    listing = terminal.said("image", "ls").splitlines()
    assert listing[0].split() == ["NAME", "IMAGE", "ID", "SIZE"]
    assert listing[1].split()[0] == "cart:v1"
    terminal.said("image", "save", "-o", tmp_path / "cart.tar", name)
    with tarfile.open(tmp_path / "cart.tar") as archive:
        assert "manifest.json" in archive.getnames()
    assert terminal.said("image", "rm", name).startswith("removed cart:v1\nfreed ")
    assert names(terminal) == []
    assert not list((terminal.state / "images" / "layers").iterdir())
    assert terminal.said("image", "load", tmp_path / "cart.tar").strip() == "cart:v1"
    data = (tmp_path / "cart.tar").read_bytes()
    assert terminal.run("image", "load", "-", "-t", "again:v2", given=data).stdout.strip() == "again:v2"
    (tmp_path / "layout").mkdir()
    terminal.said("image", "save", "-o", tmp_path / "layout", "cart:v1")
    assert terminal.said("image", "load", tmp_path / "layout").strip() == "cart:v1"
    image_id = terminal.said("image", "ls").splitlines()[1].split()[1]
    assert terminal.said("image", "rm", image_id).splitlines()[:2] == ["removed again:v2", "removed cart:v1"]


def test_a_failed_save_leaves_the_old_file(terminal, tmp_path):
    file = tmp_path / "old.tar"
    file.write_text("old")
    assert "no image 'nothing:v1' here" in terminal.failed(1, "image", "save", "-o", file, "nothing:v1")
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["old.tar"]


def test_what_cannot_be_loaded_or_removed(terminal, tmp_path):
    (tmp_path / "text").write_text("no archive")
    assert "not a tar archive" in terminal.failed(1, "image", "load", tmp_path / "text")
    assert "no image 'nothing' here" in terminal.failed(1, "image", "rm", "nothing")
    assert "is not a repository name" in terminal.failed(1, "image", "rm", "Bad Name")
    assert terminal.said("image", "ls").split() == ["NAME", "IMAGE", "ID", "SIZE"]
