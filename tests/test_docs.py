"""The documents name what exists: links, files, commands, options, tests, kinds, constants.

Whether a sentence is true only its test can say; that what it speaks of exists is checked here.
"""

from __future__ import annotations

import ast
import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from wherry.api import yaml
from wherry.api.scheme import Scheme
from wherry.api.structure import check
from wherry.cli.main import COMMANDS, main
from wherry.cluster.options import KUBERNETES_VERSIONS, TIERS

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "wherry"
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md"), *SRC.rglob("*.md")]
)
LINK = re.compile(r"\[(?P<text>[^\]\[]+)\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATH_LIKE = re.compile(r"[\w.*-]+(?:/[\w.*-]+)*/?")
SUFFIXES = {".py", ".md", ".toml", ".yaml", ".ini", ".json", ".xz"}
FILES_OF_USERS = {
    "kustomization.yaml",
    "skaffold.yaml",
    "hello/hello.yaml",
    "image.tar",
}
"""Names of files that readers have, not we."""
CONSTANT = re.compile(r"[A-Z]+(?:_[A-Z0-9]+)+")
VARIABLES = {"WHERRY_STATE_DIR", "XDG_STATE_HOME"}
SHELL_WORDS = {"curl", "source", "kubectl", "cd", "python3"}
"""Programs of the reader's machine that examples use."""


@functools.cache
def text(document: str) -> str:
    return (ROOT / document).read_text()


def prose(document: str) -> str:
    """Without fenced blocks."""
    return FENCE.sub("", text(document))


def anchors(document: str) -> set[str]:
    """Of headings, as code forges make them."""
    found = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@functools.cache
def names_in(path: Path) -> set[str]:
    """Functions and classes of a Python file, methods too."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)}


@functools.cache
def constants() -> set[str]:
    return {name for path in SRC.rglob("*.py") for name in re.findall(r"\b[A-Z]+(?:_[A-Z0-9]+)+\b", path.read_text())}


def shell_commands(document: str) -> Iterator[list[str]]:
    """Each command of the shell blocks, as words, without comments."""
    for language, block in FENCE.findall(text(document)):
        if language in ("sh", "bash", "console"):
            for line in block.splitlines():
                words = shlex.split(line, comments=True)
                if words:
                    yield words


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands() -> dict[str, click.Command]:
    """`up`, `image ls` … -> the command."""
    context = click.Context(main)
    found: dict[str, click.Command] = {}
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= {f"{name} {sub}": each for sub, each in command.commands.items()}
        else:
            found[name] = command
    return found


def options_of(command: click.Command) -> set[str]:
    found = {option for each in command.params if isinstance(each, click.Option) for option in each.opts}
    return found | {option for each in command.params for option in each.secondary_opts} | {"-h", "--help"}


def test_there_are_documents() -> None:
    expected = {"README.md", "ARCHITECTURE.md", "SPECIFICATION.md", "CONTRIBUTING.md", "CHANGELOG.md"}
    assert expected <= set(DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    lost = []
    for match in LINK.finditer(prose(document)):
        target, _, anchor = match["target"].partition("#")
        assert not target.startswith(("http://", "https://")), "documents stand alone"
        path = (ROOT / document).parent / target if target else ROOT / document
        if not path.exists():
            lost.append(match["target"])
        elif anchor:
            assert not re.fullmatch(r"L\d+", anchor), "name symbols, not lines"
            if anchor not in anchors(str(path.resolve().relative_to(ROOT))):
                lost.append(match["target"])
    assert lost == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_one_title(document: str) -> None:
    assert text(document).startswith("# ")
    assert len(re.findall(r"^# ", prose(document), re.MULTILINE)) == 1


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_exist(document: str) -> None:
    """A word in code style that looks like a path is one: from the root, from the package, or from the document."""
    bases = (ROOT, SRC, (ROOT / document).parent)
    lost = []
    for word in CODE.findall(prose(document)):
        looks = PATH_LIKE.fullmatch(word) and (
            Path(word).suffix in SUFFIXES or (word.endswith("/") and "." not in word)
        )
        if not looks or word in FILES_OF_USERS or Path(word).name.startswith("*."):
            continue
        if word.removesuffix("/") in ("run", "logs"):  # of the state directory
            continue
        if "*" in word or "/" not in word:
            found = any(next(base.rglob(word), None) for base in bases)
        else:
            found = any((base / word).exists() for base in bases)
        if not found:
            lost.append(word)
    assert lost == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_constants_that_are_named_exist(document: str) -> None:
    lost = [
        word
        for word in CODE.findall(prose(document))
        if CONSTANT.fullmatch(word) and word not in VARIABLES and word not in constants()
    ]
    assert lost == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_that_are_shown_exist(document: str) -> None:
    known, targets = commands(), make_targets()
    wrong = []
    for words in shell_commands(document):
        program, *rest = words
        if program == "make":
            wrong += [f"make {each}" for each in rest if "=" not in each and each not in targets]
        elif program == "wherry":
            wrong += unknown_to_wherry(rest, known)
        elif program.startswith(".venv/bin/"):
            wrong += [
                each for each in rest if each.startswith(("tests/", "benchmarks/")) and not (ROOT / each).exists()
            ]
        elif program not in SHELL_WORDS:
            wrong.append(program)
    assert wrong == []


def unknown_to_wherry(words: list[str], known: dict[str, click.Command]) -> list[str]:
    """What `wherry WORDS` would refuse: the command, or its options."""
    name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
    if name not in known:
        return [f"wherry {name}"]
    given = [word.partition("=")[0] for word in words[len(name.split()) :] if word.startswith("-") and word != "-"]
    return [f"wherry {name} {option}" for option in given if option not in options_of(known[name])]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_manifests_that_are_shown_are_valid(document: str) -> None:
    scheme = Scheme.load("1.36")
    for language, block in FENCE.findall(text(document)):
        for obj in yaml.load_all(block) if language == "yaml" else ():
            resource = scheme.by_kind(obj["apiVersion"], obj["kind"])
            assert resource is not None
            found = check(obj, scheme.schema(resource))
            assert not found.unknown
            assert not found.error


def test_every_command_and_option_is_documented() -> None:
    page = text("docs/cli.md")
    sections = dict(re.findall(r"^## wherry (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    head = page.partition("\n## ")[0]
    assert sections.keys() == COMMANDS.keys()
    told = {
        name: {word for words in CODE.findall(head + section) for word in words.split()}
        for name, section in sections.items()
    }
    missing = [
        f"wherry {name} {option}"
        for name, command in commands().items()
        for option in sorted(options_of(command) - {"-h", "--help"} - told[name.split()[0]])
    ]
    assert missing == []


def test_every_variable_is_documented() -> None:
    found = {name for path in SRC.rglob("*.py") for name in re.findall(r"\bWHERRY_[A-Z_]+\b", path.read_text())}
    assert found - set(CODE.findall(text("docs/cli.md"))) == set()


def test_every_make_target_is_documented() -> None:
    told = {words[1] for words in shell_commands("CONTRIBUTING.md") if words[0] == "make"}
    assert make_targets() - told == set()


def test_every_benchmark_is_documented() -> None:
    tree = ast.parse((ROOT / "benchmarks" / "__main__.py").read_text())
    parts = next(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "PARTS" and isinstance(node.value, ast.Dict)
    )
    names = {ast.literal_eval(key) for key in parts.keys if key}
    assert names - set(CODE.findall(text("CONTRIBUTING.md"))) == set()


def promises() -> list[tuple[str, str, str]]:
    """(number, promise, what holds it) of the specification's tables."""
    found = re.findall(r"^\| (\d+\.\d+) \| (.+?) \| (.+) \|$", text("SPECIFICATION.md"), re.MULTILINE)
    assert len(found) > 50
    return found


def test_promises_are_numbered_in_order() -> None:
    numbers = [tuple(int(part) for part in number.split(".")) for number, _, _ in promises()]
    chapters = {chapter: [place for one, place in numbers if one == chapter] for chapter, _ in numbers}
    assert list(chapters) == list(range(1, len(chapters) + 1))
    assert all(places == list(range(1, len(places) + 1)) for places in chapters.values())


@pytest.mark.parametrize(("number", "holder"), [(number, holder) for number, _, holder in promises()])
def test_a_promise_names_a_test_that_exists_or_is_pending(number: str, holder: str) -> None:
    links = list(LINK.finditer(holder))
    assert links or holder.startswith("*pending*"), f"{number} names no test"
    for match in links:
        assert match["text"] in names_in(ROOT / match["target"]), (
            f"{number}: {match['text']} is not in {match['target']}"
        )


def test_every_kind_is_in_the_table() -> None:
    """Once, and no kind that is not served by the default version."""
    rows = re.findall(
        r"^\| `([a-z0-9.]+)` \| (acted on|stored|answered) \|", text("docs/compatibility.md"), re.MULTILINE
    )
    served = {f"{gvr.resource}.{gvr.group}" if gvr.group else gvr.resource for gvr in Scheme.load("1.36").resources}
    assert sorted(name for name, _ in rows) == sorted(served)


def test_every_controller_is_in_the_table() -> None:
    """A folder or file of `controllers` that no line of the page mentions has been forgotten there."""
    page = text("docs/compatibility.md")
    names = {path.stem for path in (SRC / "controllers").iterdir() if not path.name.startswith("_")}
    told = {name for name in names if f"controllers/{name}" in page}
    elsewhere = {
        "garbage_collector": "deletion: propagation",
        "pod_gc": "nothing to configure",
        "root_ca": "nothing to configure",
        "service_account_token": "tokens of secrets",
        "ttl_after_finished": "jobs: time to live",
    }
    assert names - told == elsewhere.keys()


def test_every_deviation_from_the_recordings_is_told() -> None:
    file = ROOT / "tests/unit/apiserver/registry/test_recorded_strategies.py"
    table = next(
        node.value
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "DEVIATIONS"
        and isinstance(node.value, ast.Dict)
    )
    known = {"`{}` {}".format(*ast.literal_eval(key)) for key in table.keys if key}
    told = set(re.findall(r"`[a-z-]+` \d+", text("docs/compatibility.md").partition("## Deviations")[2]))
    assert told == known


def test_every_instruction_of_a_dockerfile_is_told() -> None:
    from wherry.builder.dockerfile import KNOWN, REFUSED

    page = text("docs/compatibility.md")
    assert [name for name in [*KNOWN, *REFUSED] if not re.search(rf"\b{name}\b", page)] == []


@pytest.mark.parametrize("folder", ["launcher", "launcher/proc"])
def test_every_file_of_the_launcher_has_its_place(folder: str) -> None:
    """Once, in the table of its folder: who adds one says what it is for."""
    section = text("ARCHITECTURE.md").partition(f"### `{folder}/`\n")[2].partition("\n#")[0]
    told = [word for word in CODE.findall(section) if re.fullmatch(r"\w+\.py", word)]
    there = {path.name for path in (SRC / folder).glob("[!_]*.py")}
    assert there - set(told) == set(), "say in that table what they are for"
    assert sorted(told) == sorted(there)


def test_tiers_and_versions_are_told() -> None:
    assert [tier for tier in TIERS if f"`{tier}`" not in text("docs/tiers.md")] == []
    between = f"{KUBERNETES_VERSIONS[0]} to {KUBERNETES_VERSIONS[-1]}"
    for document in ("README.md", "docs/cli.md", "docs/compatibility.md", "SPECIFICATION.md", "CHANGELOG.md"):
        assert between in text(document), document


def test_the_readme_is_short() -> None:
    assert len(text("README.md").splitlines()) <= 150
    assert "make demo" in "\n".join(text("README.md").splitlines()[:20])
    assert "make test" in "\n".join(text("README.md").splitlines()[:20])


def test_the_checks_find_what_they_are_for() -> None:
    known = commands()
    assert unknown_to_wherry(["up", "app/", "--wait", "--timeout=5", "-n", "shop"], known) == []
    assert unknown_to_wherry(["up", "--wiat"], known) == ["wherry up --wiat"]
    assert unknown_to_wherry(["get", "pods"], known) == ["wherry get"]
    assert unknown_to_wherry(["image", "ls", "-q"], known) == []
    assert anchors("docs/compatibility.md") >= {"pods", "services"}
