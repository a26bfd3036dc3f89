"""What expressions give: operators, macros, conversions, time, optionals; and which errors there are."""

from __future__ import annotations

from typing import Any

import pytest

from wherry import cel

ENVIRONMENT = cel.Environment({"x": cel.DYN, "missing": cel.DYN})
X = {"a": 1, "l": [1, 2.5, "s"], "m": {"k": "v"}, "z": None, "t": True}


def value(text: str) -> Any:
    found = cel.compile(text, ENVIRONMENT).evaluate({"x": X})
    if isinstance(found, cel.Optional):
        return "none" if found is cel.NONE else ("of", found.value)
    return found if found is None or isinstance(found, str | int | float | bytes | list | dict) else str(found)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1 + 2 * 3", 7),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("7u - 5u", 2),
        ("'a' + 'b'", "ab"),
        ("b'a' + b'\\xff'", b"a\xff"),
        ("[1] + [2]", [1, 2]),
        ("1.0 / 0.0", float("inf")),
        ("dyn(1) == 1.0", True),
        ("dyn(1u) == 1", True),
        ("dyn(true) == 1", False),
        ("x.t == dyn(1)", False),
        ("dyn('1') == 1", False),
        ("dyn([1, 2]) == [1.0, 2.0]", True),
        ("x.z == null", True),
        ("{1: 'int'}[1]", "int"),
        ("{true: 'bool', false: 'no'}[true]", "bool"),
        ("dyn({1: 'a'})[1.0]", "a"),
        ("1 in {1: 2}", True),
        ("dyn(true) in {1: 2}", False),
        ("2 in [1, 2]", True),
        ("'k' in x.m", True),
        ("1 < 1.5 && 1u < 2 && 2.5 > 2u", True),
        ("true ? 'yes' : 'no'", "yes"),
        ("!!true", True),
        ("size('é')", 1),
        ("'\\u00e9\\U0001F600\\101\\n'", "é😀A\n"),
        ("r'\\d'", r"\d"),
        ("'''a'b''c'''", "a'b''c"),
        ("0x10", 16),
        ("-9223372036854775808", -(2**63)),
        ("// a comment\n 1", 1),
        ("google.protobuf.Timestamp == type(timestamp(0))", True),
        ("type(type(1)) == type", True),
        ("type(null)", "null_type"),
    ],
)  # fmt: skip
def test_operators(text: str, wanted: Any) -> None:
    assert value(text) == wanted
    assert type(value(text)) is not bool or isinstance(wanted, bool)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[1, 2].all(i, i > 0)", True),
        ("[0, 1].all(i, 1 / i > 5)", False),  # decided by 1, whatever 0 gives
        ("[0, 1].exists(i, 1 / i == 1)", True),
        ("[1, 2, 3].exists_one(i, i > 2)", True),
        ("[1, 2, 3].filter(i, i > 1).map(i, i * i)", [4, 9]),
        ("[1, 2, 3].map(i, i > 1, i * 10)", [20, 30]),
        ("{'a': 1, 'b': 2}.map(k, k)", ["a", "b"]),
        ("{'a': 1}.all(k, v, k == 'a' && v == 1)", True),
        ("[5, 6].exists(i, v, i == 1 && v == 6)", True),
        ("[5, 6].existsOne(i, v, v > 5)", True),
        ("[5, 6].transformList(i, v, v - i)", [5, 5]),
        ("[5, 6].transformList(i, v, i > 0, v)", [6]),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 2)", {"b": 4}),
        ("{'a': 'b'}.transformMapEntry(k, v, {v: k})", {"b": "a"}),
        ("cel.bind(v, 3, cel.bind(w, v + 1, v * w))", 12),
        ("[1].map(i, [2].map(i, i))", [[2]]),
        ("[[1, 2], [3]].map(l, l.map(i, i + 1))", [[2, 3], [4]]),
        ("has(x.a) && !has(x.b) && has(x.z)", True),
    ],
)
def test_macros(text: str, wanted: Any) -> None:
    assert value(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x.?a", ("of", 1)),
        ("x.?b", "none"),
        ("x.?b.c.d", "none"),
        ("x.?m.k", ("of", "v")),
        ("x.l[?0]", ("of", 1)),
        ("x.l[?9]", "none"),
        ("x.m[?'q'].orValue('d')", "d"),
        ("x.?b.or(x.?a).value()", 1),
        ("x.?a.orValue(1 / 0)", 1),
        ("optional.none().hasValue()", False),
        ("optional.ofNonZeroValue('').hasValue()", False),
        ("optional.of(1) == optional.of(1)", True),
        ("optional.of(1).optMap(v, v + 1)", ("of", 2)),
        ("x.?b.optMap(v, v + 1)", "none"),
        ("x.?m.optFlatMap(v, v.?k)", ("of", "v")),
        ("[1, ?x.?b, ?x.?a]", [1, 1]),
        ("{?'a': x.?b, 'c': 1}", {"c": 1}),
        ("has(x.?m.k)", True),
        ("optional.unwrap([optional.of(1), optional.none()])", [1]),
    ],
)
def test_optionals(text: str, wanted: Any) -> None:
    assert value(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("int('12')", 12),
        ("int(2.9)", 2),
        ("int(timestamp('1970-01-01T00:01:00Z'))", 60),
        ("uint(3)", 3),
        ("double('1.5')", 1.5),
        ("bool('true')", True),
        ("bytes('é')", b"\xc3\xa9"),
        ("string(b'ok')", "ok"),
        ("string(1e6)", "1e+06"),
        ("string(123456.5)", "123456.5"),
        ("string(1.0)", "1"),
        ("string(-0.00001)", "-1e-05"),
        ("string(true)", "true"),
        ("duration('1h30m')", "5400s"),
        ("string(duration('-1.5s'))", "-1.5s"),
        ("timestamp('2024-02-29T23:59:59.5+01:00')", "2024-02-29T22:59:59.5Z"),
        ("timestamp('2024-01-01T00:00:00Z') + duration('24h')", "2024-01-02T00:00:00Z"),
        ("timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z')", "86400s"),
        ("timestamp('2024-01-01T00:00:00Z').getFullYear('-01:00')", 2023),
        ("timestamp('2024-01-01T00:00:00Z').getHours('Europe/Berlin')", 1),
        ("timestamp('2024-01-07T00:00:00Z').getDayOfWeek()", 0),
        ("timestamp('2024-03-01T00:00:00Z').getDayOfYear()", 60),
        ("timestamp('2024-03-01T00:00:00Z').getDate() + timestamp('2024-03-01T00:00:00Z').getDayOfMonth()", 1),
        ("duration('3h25m').getMinutes()", 205),
        ("duration('-1.5s').getMilliseconds()", -500),
    ],
)
def test_conversions_and_time(text: str, wanted: Any) -> None:
    assert value(text) == wanted


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("9223372036854775807 + 1", "integer overflow"),
        ("-(-9223372036854775807 - 1)", "integer overflow"),
        ("9223372036854775807 * 2", "integer overflow"),
        ("0u - 1u", "unsigned integer overflow"),
        ("1 / 0", "division by zero"),
        ("1u % 0u", "modulus by zero"),
        ("int(1e30)", "integer overflow"),
        ("uint(-1)", "unsigned integer overflow"),
        ("x.b", "no such key: b"),
        ("x.l[3]", "index out of bounds: 3"),
        ("x.a.b", "no such overload"),
        ("x.a + 'b'", "no such overload"),
        ("x.a && x.a", "no such overload"),
        ("x.l.all(i, i > 0)", "no such overload"),
        ("optional.none().value()", "optional.none() dereference"),
        ("{'a': 1, 'a': 2}", "Failed with repeated key a"),
        ("{'a': 1, 'b': 1}.transformMapEntry(k, v, {'c': v})", "insert failed: key c already exists"),
        ("missing", "no such attribute(s): missing"),
        ("duration(x.m.k)", 'time: invalid duration "v"'),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "timestamp overflow"),
        ("duration('2562047h') + duration('2562047h')", "duration overflow"),
        ("timestamp(0).getHours('Nowhere/Land')", "unknown time zone Nowhere/Land"),
        ("timestamp(0).getHours('../../etc/passwd')", "unknown time zone ../../etc/passwd"),
    ],
)
def test_errors(text: str, error: str) -> None:
    with pytest.raises(cel.Failure) as caught:
        value(text)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    "text", ["x.b || true", "true || x.b", "!(x.b && false)", "!(false && 1 / 0 > 0)", "x.b || x.b || x.a == 1"]
)
def test_and_and_or_absorb_errors(text: str) -> None:
    assert value(text) is True


def test_sets_and_maps_of_schemas_add_and_compare_by_content() -> None:
    environment = cel.Environment({"s": cel.list_of(cel.INT), "m": cel.list_of(cel.DYN)})
    given = {"s": cel.SetList([1, 2]), "m": cel.MapList([{"k": "a", "v": 1}], ("k",))}

    def run(text: str) -> Any:
        return cel.compile(text, environment).evaluate(given)

    assert run("s == [2, 1]")
    assert run("s + [2, 3]") == [1, 2, 3]
    assert run("m + [{'k': dyn('a'), 'v': 2}, {'k': dyn('b'), 'v': 3}]") == [{"k": "a", "v": 2}, {"k": "b", "v": 3}]


def test_a_record_is_asked_field_by_field() -> None:
    class Variables:
        def select(self, name: str) -> Any:
            if name != "known":
                raise cel.Failure(f"no such key: {name}")
            return 7

        def has(self, name: str) -> bool:
            return name == "known"

    environment = cel.Environment({"variables": cel.DYN})
    program = cel.compile("variables.known + (has(variables.other) ? 1 : 0)", environment)
    assert program.evaluate({"variables": Variables()}) == 7
    assert program.used == {"variables"}
