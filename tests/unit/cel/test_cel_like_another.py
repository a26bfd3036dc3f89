"""Random expressions have the same value here and in another implementation, or none in both."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cel_answers import plain
from cel_expressions import DATA, TYPES, VARIABLES, expression
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry import cel

pytest.importorskip("cel_expr_python")

OURS = {
    "int": cel.INT,
    "string": cel.STRING,
    "bool": cel.BOOL,
    "double": cel.DOUBLE,
    "list(int)": cel.list_of(cel.INT),
    "list(string)": cel.list_of(cel.STRING),
    "map": cel.map_of(cel.STRING, cel.INT),
    "dyn": cel.DYN,
}
ENVIRONMENT = cel.Environment({name: OURS[kind] for name, kind in VARIABLES.items()}, homogeneous=False)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Callable[[str], Any]]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "cel_oracle.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    (ask, hear) = (process.stdin, process.stdout)

    def answer(text: str) -> Any:
        print(json.dumps(text), file=ask, flush=True)
        return json.loads(hear.readline())

    yield answer
    ask.close()
    process.wait()
    hear.close()


def ours(text: str) -> list[Any]:
    try:
        return ["ok", plain(cel.compile(text, ENVIRONMENT).evaluate(DATA))]
    except cel.CelError as error:
        return ["error", str(error)]


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(TYPES), depth=st.integers(0, 4))
def test_same_value_or_no_value(oracle: Callable[[str], Any], seed: int, kind: str, depth: int) -> None:
    text = expression(random.Random(seed), kind, depth)
    (status, value) = oracle(text)
    (mine, got) = ours(text)
    assert (mine, got if mine == "ok" else "") == (status, value if status == "ok" else ""), text
