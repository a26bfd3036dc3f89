"""docs/clients.md and the tests of clients say the same: every cell is a test of its client, no test is left out."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "clients.md").read_text()
INTEGRATION = ROOT / "tests" / "integration"
LINK = re.compile(r"\[(\w+)\]\(\.\./tests/(?:integration|e2e)/(\w+)\.py\)")
"""Groups: test, file. `test_docs.py` has seen that the file is there."""
FILES = {
    "kubectl": {path.stem for path in INTEGRATION.glob("test_*kubectl*.py")},
    "kubernetes": {
        "test_apiserver_python_client", "test_clients", "test_clients_custom_resources", "test_python_client_extras",
        "test_typed_round_trips",
    },
    "lightkube": {"test_lightkube", "test_typed_round_trips"},
    "kr8s": {"test_kr8s"},
    "kopf": {"test_kopf", "test_clients", "test_clients_custom_resources"},
    "helm-python-sdk": {"test_helm"},
}  # fmt: skip
"""Client, by the name of its package -> files of its tests. Some are shared: operators use the official client, too."""
WITH_PODS = {
    "kubectl": {"test_kubectl_pods"},
    "kubernetes": {"test_python_client"},
    "lightkube": {"test_streams_of_clients"},
    "kr8s": {"test_streams_of_clients"},
}
"""The same of `tests/e2e`; of the first two only what needs pods is told."""
MARKS = {"every_release": "every", "oldest_and_newest": "oldest", "newest": "newest"}


def table(heading: str) -> list[list[str]]:
    """Rows of the first table under a heading, without its line of dashes."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if set(row[0]) != {"-"}]


def functions_of(file: str) -> dict[str, set[str]]:
    """Test -> names of its decorators."""
    path = next((ROOT / "tests").glob(f"*/{file}.py"))
    tree = ast.parse(path.read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {
        each.name: {name.id for name in each.decorator_list if isinstance(name, ast.Name)}
        for each in functions
        if each.name.startswith("test_")
    }


def test_every_cell_is_a_test_of_its_client() -> None:
    (_, *heads), *rows = table("Matrix")
    assert [head.strip("`") for head in heads] == list(FILES)
    wrong = []
    for name, *cells in rows:
        assert len(cells) == len(heads), name
        for client, cell in zip(FILES, cells, strict=True):
            links = LINK.findall(cell)
            assert links or cell == "–", (name, client)
            files = FILES[client] | WITH_PODS.get(client, set())
            wrong += [(client, test) for test, file in links if file not in files or test not in functions_of(file)]
    assert wrong == []


def test_no_test_of_a_client_is_left_out() -> None:
    """kubectl's are many: each of their files is told, with the releases it runs."""
    told = {(file, test) for test, file in LINK.findall(PAGE)}
    libraries = set().union(*(files for client, files in FILES.items() if client != "kubectl"), WITH_PODS["kr8s"])
    missing = {(file, test) for file in libraries for test in functions_of(file)} - told
    assert missing == set()


def test_releases_of_kubectl() -> None:
    first, after = re.search(r"range\((\d+), (\d+)\)", (INTEGRATION / "kubectl_tool.py").read_text()).groups()
    assert f"Releases 1.{first} to 1.{int(after) - 1}:" in PAGE
    _, *rows = table("kubectl")
    said = {LINK.findall(cell)[0][1]: releases for cell, _, releases in rows}
    assert said.keys() == FILES["kubectl"]
    for file, releases in said.items():
        marks = {MARKS[mark] for marks in functions_of(file).values() for mark in marks & MARKS.keys()}
        if marks:  # one file finds its releases itself
            assert {mark for mark in MARKS.values() if mark in releases} >= marks, file


def test_packages_are_installed_for_the_tests() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = {re.match(r"[\w-]+", each)[0] for each in extras["dev"]}
    assert FILES.keys() - {"kubectl"} <= wanted
