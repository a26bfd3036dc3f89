"""YAML 1.1 as Kubernetes reads it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.api.yaml import YAMLError, dump, load, load_all


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", False), ("y", True), ("On", True), ("oN", "oN"), ("~", None), ("", None), ("null", None),
        ("0644", 420), ("0o17", 15), ("0x1F", 31), ("-0b11", -3), ("1_000", 1000), ("08", 8), ("0", 0), ("-5", -5),
        ("1e3", 1000), ("1.5", 1.5), (".5", 0.5), ("1.", 1), ("1e", "1e"), ("1.2.3", "1.2.3"), ("+7", 7),
        ("2020-01-01", "2020-01-01"), ("12:30", "12:30"), ('"5"', "5"), ("'yes'", "yes"), ("!!str 5", "5"),
        ("!!int 5", 5), ("9223372036854775808", 9223372036854775808), ("<<", "<<"), ("10.244.0.0/16", "10.244.0.0/16"),
    ],
)  # fmt: skip
def test_scalars(text: str, value: Any) -> None:
    found = load(f"a: {text}")["a"]
    assert found == value
    assert type(found) is type(value)


def test_structure() -> None:
    text = "base: &b {x: 1, y: [a, b]}\nmore:\n  <<: *b\n  x: 2\n1: one\ntrue: t\ntext: |\n  line\n"
    assert load(text) == {
        "base": {"x": 1, "true": ["a", "b"]},
        "more": {"x": 2, "true": ["a", "b"]},
        "1": "one",
        "true": "t",
        "text": "line\n",
    }
    assert load_all("a: 1\n---\n---\n- b\n") == [{"a": 1}, None, ["b"]]
    assert load(b"# nothing\n") is None


def test_duplicate_keys() -> None:
    text = "a: 1\nb: {c: 1, c: 2}\na: 3\n"
    message = 'yaml: unmarshal errors:\n  line 2: key "c" already set in map\n  line 3: key "a" already set in map'
    with pytest.raises(YAMLError) as caught:
        load(text)
    assert str(caught.value) == message
    found: list[str] = []
    assert load(text, duplicates=found) == {"a": 3, "b": {"c": 2}}
    assert found == [message]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", "yaml: mapping values are not allowed in this context"),
        ("x: 1\na: b: c", "yaml: line 2: mapping values are not allowed in this context"),
        ("a:\n\t- b", "yaml: line 2: found character that cannot start any token"),
        ("a: [1", "yaml: line 1: did not find expected ',' or ']'"),
        ("a: &x [*x]", "yaml: anchor value contains itself"),
        ("? [a]\n: b", "yaml: line 1: unsupported map key"),
        ("a: .inf", "json: unsupported value: inf"),
        ("a: !!int x", "yaml: line 1: cannot decode !!str `x` as a !!int"),
        ("[" * 100_000, "yaml: exceeded max depth"),
        ("- " * 100_000, "yaml: exceeded max depth"),
    ],
)
def test_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(YAMLError) as caught:
        load(text)
    assert str(caught.value) == message


def test_aliases_may_not_explode() -> None:
    lines = ["a0: &a0 [1]"] + [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(YAMLError, match="excessive aliasing"):
        load("\n".join(lines))


def test_several_documents_are_not_one() -> None:
    with pytest.raises(YAMLError, match="single document"):
        load("a: 1\n---\nb: 1\n")


def test_dump_is_what_kubernetes_writes() -> None:
    text = dump({"b": "no", "a": ["0644", "x", {"k": None}], "t": "a\nb\n", "d": {}, "l": [], "n": "2020-01-01"})
    assert text == 'a:\n- "0644"\n- x\n- k: null\nb: "no"\nd: {}\nl: []\n"n": "2020-01-01"\nt: |\n  a\n  b\n'


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.text(max_size=8)
    | st.sampled_from(["no", "0x1", "1e3", "<<", "~"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(_values)
def test_what_was_dumped_loads_again(value: Any) -> None:
    assert load(dump(value)) == value
