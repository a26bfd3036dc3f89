"""Style as tests: what a reviewer would otherwise have to say again and again.

Looks at texts and syntax trees only and runs nothing of the product. Each rule says in its message what to do instead; an
exception stands in a table here with its reason. `test_the_rules_find_what_they_are_for` plants one violation of each.
The import contract is `make contract`.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"
TREES = ("src", "tests", "tools", "benchmarks", "examples")
TEXTS = {
    ".py",
    ".md",
    ".toml",
    ".yaml",
    ".yml",
    ".cfg",
    ".ini",
    ".go",
    ".html",
    ".css",
    ".in",
    ".txt",
    ".json",
    ".conf",
    "",
}

LINES_MAX = 400
TEST_LINES_MAX = 500
"""Of a file; a test may list more cases. Beyond it the docstring on top says why it is one file, in a line that begins with
`Long because`."""
FUNCTION_LINES_MAX = 70
"""Without the docstring: a function fits a screen."""
LONG_FUNCTIONS: dict[str, str] = {}
"""`path:function` -> the reason."""

PRODUCT_CLOCK = {
    "src/wherry/aio/clock.py": "the one place that reads the machine's clock and sleeps",
    "src/wherry/cluster/supervisor.py": "a process root without an event loop",
    "src/wherry/cluster/system.py": "a command that waits for another process's first breath, without an event loop",
    "src/wherry/client/kubeconfig.py": "waits for a file lock in a command, without an event loop; tests pass their own pause",
    "src/wherry/cli/up.py": "a command's root: it hands the time to what draws the progress",
    "src/wherry/launcher/init.py": "standard library only: the launcher must not load asyncio before it forks",
    "src/wherry/launcher/output.py": "standard library only; the time stamp of each line of a container's log",
    "src/wherry/launcher/proc/containers.py": "standard library only; a fork that copies an image lets a program begin first",
    "src/wherry/launcher/proc/signalling.py": "standard library only; waits until a process has stopped, which tells nobody else",
    "src/wherry/launcher/records.py": "standard library only; when sandboxes and containers began and ended",
    "src/wherry/testing/launcher_process.py": "waits for a real process to listen",
}
"""Who else may read the clock or sleep, and why; everybody else is given a `wherry.aio.clock.Clock`."""
LOOP_SLEEP = {
    "src/wherry/testing/contracts/cri.py": "polls a runtime from the outside, on the loop's own time",
}
"""Who sleeps on the loop's own time, because it runs on a virtual loop as well as on a real one."""
UNIT_CLOCK = {"tests/unit/aio/test_virtual.py": "measures that virtual time takes no real time"}

CLOCK = {
    *(f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep")),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "asyncio.sleep"),
}
TIME_WORDS = re.compile(r"\b(?:time|datetime|date|asyncio)\.\w|from time import")
FOLDERS_REFUSED = {"utils", "util", "helpers", "common", "misc", "lib"}

# Written so that this file passes its own rules.
LEFTOVERS = re.compile(r"\b(?:TO[D]O|FIX[M]E|X{3}|HA[C]K)\b")
REGISTRIES = re.compile(
    r"docker[.](?:io|com)|(?:ghcr|quay|gcr)[.]io|registry[.]k8s[.]io|mcr[.]microsoft[.]com|public[.]ecr[.]aws"
    r"|pypi[.]org|pythonhosted[.]org|npmjs[.]org|(?:proxy|sum)[.]golang[.]org|crates[.]io"
)
MACHINES = re.compile(r"(?<![\w.~$}])/(?:wor[k]/|Users/|mnt/c/|home/(?!(?:[a-z]|user|app)\b)\w)")
"""`/home/u`, `/home/user` and `/home/app` are examples; any other home is somebody's."""


@functools.cache
def sources(*trees: str) -> dict[str, str]:
    """Path from the root -> text, of every Python file."""
    return {
        str(path.relative_to(ROOT)): path.read_text() for tree in trees for path in sorted((ROOT / tree).rglob("*.py"))
    }


@functools.cache
def parsed(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), path)


@functools.cache
def texts() -> dict[str, str]:
    """Everything a person wrote here, not only Python."""
    found = {}
    for top in (*TREES, "docs"):
        for path in sorted((ROOT / top).rglob("*")):
            if (
                path.is_file()
                and path.suffix in TEXTS
                and "__pycache__" not in path.parts
                and ".egg-info" not in str(path)
            ):
                found[str(path.relative_to(ROOT))] = path.read_text()
    for path in sorted(ROOT.iterdir()):
        if path.is_file() and path.suffix in TEXTS and path.name != ".coverage":
            found[path.name] = path.read_text()
    return found


def lines_over(text: str, lines_max: int = LINES_MAX) -> int:
    """How many lines a file is too long, 0 when it is not or says why."""
    over = text.count("\n") - lines_max
    if over <= 0 or re.search(r"^Long because \w", ast.get_docstring(ast.parse(text)) or "", re.MULTILINE):
        return 0
    return over


def long_functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Name and length of each function above the limit."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            told = 0
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                told = (first.end_lineno or 0) - first.lineno + 1
            length = (node.end_lineno or 0) - node.lineno + 1 - told
            if length > FUNCTION_LINES_MAX:
                yield node.name, length


def clock_uses(tree: ast.Module) -> Iterator[str]:
    """`module.function` of each use of the machine's clock or of a sleep; a mere `asyncio.sleep(0)` lets others run."""
    yields = {
        id(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "asyncio.sleep"
        and [ast.unparse(argument) for argument in node.args] == ["0"]
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and id(node) not in yields:
            name = f"{node.value.id}.{node.attr}"
            if name in CLOCK:
                yield name
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (f"time.{alias.name}" for alias in node.names if f"time.{alias.name}" in CLOCK)


def chance_uses(tree: ast.Module) -> Iterator[str]:
    """Uses of the one random generator that everybody shares and nobody seeds."""
    imported = any(
        isinstance(node, ast.Import) and any(a.name == "random" for a in node.names) for node in ast.walk(tree)
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if imported and node.value.id == "random" and node.attr not in ("Random", "SystemRandom"):
                yield f"random.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "random":
            yield from (f"random.{alias.name}" for alias in node.names if alias.name != "Random")


def modules() -> dict[str, str]:
    """Dotted name -> path, of the product."""
    found = {}
    for path in sources("src"):
        parts = Path(path).relative_to("src").with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_by(tree: ast.Module, known: set[str]) -> set[str]:
    """Modules a file imports, wherever in it, and the packages they lie in."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return (found | {name.rpartition(".")[0] for name in found}) & known


def entry_points(known: set[str]) -> set[str]:
    """What is started from outside: `python -m`, the command, its sub-commands (loaded by name), what tests import."""
    from wherry.cli.main import COMMANDS

    commands = {f"wherry.cli.{name}" for name in COMMANDS}
    public = {name for name in known if name == "wherry.testing" or name.startswith("wherry.testing.")}
    public |= {"wherry.aio.virtual"}  # the loop of tests in virtual time
    return {name for name in known if name.endswith(".__main__")} | {"wherry.cli.main"} | commands | public


def matches(pattern: re.Pattern[str], found: dict[str, str]) -> list[str]:
    return [
        f"{path}:{number}: {match[0]}"
        for path, text in found.items()
        if pattern.search(text)
        for number, line in enumerate(text.splitlines(), 1)
        for match in [pattern.search(line)]
        if match
    ]


def test_files_are_short_or_say_why() -> None:
    found = {
        path: over
        for path, text in sources(*TREES).items()
        if (over := lines_over(text, TEST_LINES_MAX if path.startswith("tests/") else LINES_MAX))
    }
    assert found == {}, "split them, or begin a line of the docstring with `Long because`"


def test_functions_fit_a_screen() -> None:
    found = {f"{path}:{name}": length for path in sources(*TREES) for name, length in long_functions(parsed(path))}
    assert found.keys() == LONG_FUNCTIONS.keys(), f"more than {FUNCTION_LINES_MAX} lines: {found}"


def test_every_file_says_what_it_is() -> None:
    trees = [tree for tree in TREES if tree != "tests"]  # the name of a test says it
    silent = [path for path, text in sources(*trees).items() if text.strip() and not ast.get_docstring(parsed(path))]
    assert silent == [], "begin with a docstring"


def test_folders_are_roles() -> None:
    named = [
        path for path in sources("src") if FOLDERS_REFUSED & {part.removesuffix(".py") for part in Path(path).parts}
    ]
    assert named == [], "a name says what is in it"
    deep = [path for path in sources("src") if len(Path(path).parts) > 6]
    assert deep == [], "three levels of folders below the package at most"


def test_every_module_is_used() -> None:
    known = modules()
    names = set(known)
    reached: set[str] = set()
    waiting = entry_points(names)
    assert waiting <= names, "a command without a module"
    while waiting:
        name = waiting.pop()
        reached.add(name)
        parents = {name[:end] for end in (match.start() for match in re.finditer(r"\.", name))}
        waiting |= (imported_by(parsed(known[name]), names) | parents) - reached
    assert names - reached == set(), "nothing that runs imports these"


def test_time_comes_from_the_clock() -> None:
    found = {path: set(clock_uses(parsed(path))) for path, text in sources("src").items() if TIME_WORDS.search(text)}
    allowed = PRODUCT_CLOCK | LOOP_SLEEP
    strangers = {path: uses for path, uses in found.items() if uses and path not in allowed}
    assert strangers == {}, "take a wherry.aio.clock.Clock"
    assert {path: found[path] - {"asyncio.sleep"} for path in LOOP_SLEEP if found[path] - {"asyncio.sleep"}} == {}
    assert [path for path in allowed if not found.get(path)] == [], "strike them from the table"


def test_unit_tests_own_time() -> None:
    tests = sources("tests/unit", "tests/scenarios")
    found = {
        path: set(clock_uses(parsed(path))) - {"asyncio.sleep"}
        for path, text in tests.items()
        if TIME_WORDS.search(text)
    }
    strangers = {path: uses for path, uses in found.items() if uses and path not in UNIT_CLOCK}
    assert strangers == {}, "run in virtual time: wherry.aio.virtual"


def test_chance_is_seeded() -> None:
    trees = [tree for tree in TREES if tree != "examples"]  # an application may wait as long as chance says
    users = [path for path, text in sources(*trees).items() if "random" in text]
    found = {path: uses for path in users if (uses := set(chance_uses(parsed(path))))}
    assert found == {}, "take a random.Random"


def test_nothing_is_left_over() -> None:
    assert matches(LEFTOVERS, texts()) == []


def test_no_registry_is_named() -> None:
    assert matches(REGISTRIES, texts()) == [], "which registry is asked is a setting of the machine"


def test_no_path_of_somebodys_machine() -> None:
    assert matches(MACHINES, texts()) == []


def test_unit_tests_lie_where_the_code_lies() -> None:
    folders = {path.relative_to(ROOT / "tests/unit") for path in (ROOT / "tests/unit").rglob("*") if path.is_dir()}
    homes = (SRC / "wherry", ROOT / "examples")
    folders = {folder for folder in folders if folder.name != "__pycache__"}
    lost = [str(folder) for folder in folders if not any((home / folder).is_dir() for home in homes)]
    assert lost == []


def test_files_of_tests_have_names_of_their_own() -> None:
    """Tests are imported by their bare names, helpers too: of two with one name only the first can be."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    twice = [name for name, number in names.items() if number > 1 and name not in ("conftest.py", "__init__.py")]
    assert twice == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import time\ntime.sleep(1)", {"time.sleep"}),
        ("import asyncio\nawait asyncio.sleep(0)", set()),
        ("import asyncio\nawait asyncio.sleep(0.1)", {"asyncio.sleep"}),
        ("from time import monotonic", {"time.monotonic"}),
        ("clock.time()", set()),
    ],
)
def test_clock_rule(code: str, found: set[str]) -> None:
    assert set(clock_uses(compile(code, "", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))) == found


def test_the_rules_find_what_they_are_for() -> None:
    assert lines_over("\n" * (LINES_MAX + 1)) == 1
    assert lines_over("'''A table.\n\nLong because it is one table.\n'''" + "\n" * LINES_MAX) == 0
    assert dict(long_functions(ast.parse("def f():\n" + "    x\n" * FUNCTION_LINES_MAX))) == {
        "f": FUNCTION_LINES_MAX + 1
    }
    assert dict(long_functions(ast.parse("def f():\n    '''\n" + "\n" * 99 + "    '''\n    x"))) == {}
    assert set(chance_uses(ast.parse("import random\nrandom.choice(x)\nrandom.Random(7)"))) == {"random.choice"}
    assert set(chance_uses(ast.parse("from random import Random, shuffle"))) == {"random.shuffle"}
    assert imported_by(ast.parse("def f():\n    from a.b import c"), {"a", "a.b", "a.b.c"}) == {"a", "a.b", "a.b.c"}
    assert matches(LEFTOVERS, {"x": "a\n# " + "todo: later".upper()}) == ["x:2: " + "todo".upper()]
    assert matches(REGISTRIES, {"x": "FROM " + ".".join(["docker", "io"]) + "/library/nginx"})
    assert matches(MACHINES, {"x": "open('/" + "/".join(["work", "main"]) + "')"})
    assert matches(MACHINES, {"x": "HOME=/home/user and ~/work/x and $HOME/work/x"}) == []
