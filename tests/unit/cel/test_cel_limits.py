"""Hostile input: whatever is sent compiles, is refused or runs out of budget, soon."""

from __future__ import annotations

import contextlib
import random
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry import cel
from wherry.cel.parser import DEPTH_MAX
from wherry.cel.times import Duration, Timestamp

ENVIRONMENT = cel.Environment({"x": cel.DYN, "s": cel.STRING, "l": cel.list_of(cel.INT)})
LONG = {"x": {"a": {"b": 1}}, "s": "a" * 100_000, "l": list(range(10_000))}


def outcome(text: str) -> str:
    try:
        cel.compile(text, ENVIRONMENT).evaluate(LONG)
    except cel.CompileErrors:
        return "refused"
    except cel.CostExceeded:
        return "too much"
    except cel.EvaluationError:
        return "no value"
    return "value"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("(" * 100 + "1" + ")" * 100, "value"),
        ("(" * 5000 + "1" + ")" * 5000, "refused"),
        ("[" * 5000, "refused"),
        ("!" * 10_000 + "true", "value"),
        ("1" + " + 1" * 200, "value"),
        ("1" + " + 1" * 5000, "refused"),
        ("true" + " && true" * 5000, "value"),
        ("x" + ".a" * 5000, "refused"),
        ("x" + "[0]" * 5000, "refused"),
        ("true ? 1 : " * 5000 + "1", "refused"),
        ("[1].map(i, " * 200 + "1" + ")" * 200, "refused"),
        ("'" + "a" * 99_000 + "' == s", "value"),
        ("'" + "a" * 200_000 + "'", "refused"),
        ("9" * 50_000, "refused"),
        ("0." + "9" * 50_000, "refused"),
        ("[" + "1," * 40_000 + "1].size() > 0", "value"),
        ("[" + "[]," * 20_000 + "[]].size() > 0", "value"),
        ("@" * 99_000, "refused"),
        ("1 + 'a' && " * 8_000 + "true", "refused"),
    ],
    ids=lambda value: value[:20],
)
def test_size_and_depth(text: str, wanted: str) -> None:
    assert outcome(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "l.all(a, l.all(b, l.all(c, true)))",
        "cel.bind(a, s, " + "cel.bind(a, a + a, " * 40 + "a.size()" + ")" * 41,
        "cel.bind(a, l, " + "cel.bind(a, a + a, " * 40 + "a.size()" + ")" * 41,
        "l.exists(i, s.matches('a*b'))",
        "l.exists(i, s.contains('aab'))",
        "l.all(i, s.replace('a', s).size() > 0)",
        "l.all(i, [l, l] == [l, l])",
        "l.all(i, i in l)",
        "l.map(i, l).all(m, m == l)",
        "l.all(i, '%s%s'.format([l, l]) != '')",
        "l.all(i, s.split('').join('b') != '')",
        "l.all(i, sets.equivalent(l, l))",
        "l.all(i, s < s + 'b')",
    ],
)
def test_work_is_bounded(text: str) -> None:
    assert outcome(text) == "too much"


def test_an_error_of_the_budget_is_never_absorbed() -> None:
    assert outcome("l.all(a, l.all(b, l.all(c, true))) || true") == "too much"


def test_a_budget_is_shared() -> None:
    budget = cel.Budget(25_000)
    program = cel.compile("l.all(i, i >= 0)", cel.Environment({"l": cel.list_of(cel.INT)}))
    assert program.evaluate({"l": [1] * 1000}, budget)
    left = budget.remaining
    assert 0 < left < 25_000
    with pytest.raises(cel.CostExceeded):
        program.evaluate({"l": [1] * 10_000}, budget)
    assert budget.remaining < 0


def test_patterns_cannot_hang() -> None:
    environment = cel.Environment({"s": cel.STRING, "p": cel.STRING})
    program = cel.compile("s.matches(p)", environment)
    assert program.evaluate({"s": "a" * 5000 + "!", "p": "^(a+)+$"}) is False
    with pytest.raises(cel.Failure, match="error parsing regexp"):
        program.evaluate({"s": "a", "p": "((((a{100}){100}){100}){100})"})
    with pytest.raises(cel.Failure, match="invalid UTF-8"):
        program.evaluate({"s": "\ud800", "p": "a"})


def test_deep_values_are_no_recursion_error() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    environment = cel.Environment({"d": cel.DYN})
    for text in ("d == [d]", "'%s'.format([d])", "[d].indexOf(d)"):
        with pytest.raises(cel.EvaluationError):
            cel.compile(text, environment).evaluate({"d": deep})
    while isinstance(deep, list):  # taken apart from the outside in: Python itself would recurse
        deep = deep.pop()


ALPHABET = "()[]{}.?:,+-*/%!<>=&|'\"\\ \n" + string.ascii_letters[:8] + string.digits[:3] + "é\ud800"
WORDS = ["x", "l", "s", "all", "map", "has", "in", "true", "null", "(", ")", "[", "]", ".", ",", "i", "1", "'a'", "+", "==",
         "?", ":", "&&", "-", "{", "}", "cel", "bind", "optional", "of"]  # fmt: skip


@settings(max_examples=300)
@given(text=st.text(ALPHABET, max_size=60) | st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    assert outcome(text) in ("value", "refused", "no value", "too much")


def test_what_is_told_is_bounded() -> None:
    for text in ("@" * 99_000, "q && " * 19_000 + "q", "'" * 99_999):
        with pytest.raises(cel.CompileErrors) as caught:
            cel.compile(text, ENVIRONMENT)
        assert len(str(caught.value)) < 10_000


POOL: dict[str, Any] = {
    "nothing": None, "yes": True, "zero": 0, "most": 2**63 - 1, "least": -(2**63), "u": cel.Uint(7), "nan": float("nan"),
    "inf": float("inf"), "text": "a.b/c-d", "empty": "", "odd": "\ud800", "number": "1.5", "raw": b"\xff", "list": [1, "a", None],
    "map": {"a": 1}, "set": cel.SetList([1, 2]), "keyed": cel.MapList([{"k": 1}, {"k": [1]}, 5], ("k",)), "none": cel.NONE,
    "some": cel.Optional(1), "moment": Timestamp(0), "span": Duration(-1), "kind": cel.TypeValue("int"),
}  # fmt: skip


@pytest.mark.parametrize("key", sorted(cel.Environment({}).functions), ids=str)
def test_no_argument_is_a_bug(key: tuple[str, bool]) -> None:
    """Every function with values of every kind: a value, or an error of CEL."""
    (name, method) = key
    environment = cel.Environment(dict.fromkeys(POOL, cel.DYN))
    chance = random.Random(f"{name} {method}")
    counts = {len(overload.params) for overload in environment.functions[key].overloads}
    for _ in range(150):
        args = [chance.choice(sorted(POOL)) for _ in range(chance.choice(sorted(counts)))]
        text = OPERATIONS.get(name, "{0}.{name}({rest})" if method else "{name}({all})")
        text = text.format(*args, *args, name=name, rest=", ".join(args[1:]), all=", ".join(args))
        with contextlib.suppress(cel.CelError):
            cel.compile(text, environment).evaluate(POOL)


OPERATIONS = {
    **{f"_{mark}_": f"{{0}} {mark} {{1}}" for mark in ("+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||")},
    "@in": "{0} in {1}", "_[_]": "{0}[{1}]", "_[?_]": "{0}[?{1}]", "_?_:_": "{0} ? {1} : {2}", "!_": "!{0}", "-_": "-{0}",
}  # fmt: skip


def test_the_depth_is_what_it_says() -> None:
    assert DEPTH_MAX == 250
    with pytest.raises(cel.CompileErrors, match="expression recursion limit exceeded: 250"):
        cel.compile("(" * 300 + "1" + ")" * 300, ENVIRONMENT)
