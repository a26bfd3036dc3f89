"""Selectors parse by the documented grammar, match by the documented rules and say what is wrong."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.api.labels import Requirement, Selector, SelectorError


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("", {}, True),
        ("app", {"app": ""}, True),
        ("app", {}, False),
        ("!app", {}, True),
        ("app=cart", {"app": "cart"}, True),
        ("app==cart", {"app": "shop"}, False),
        ("app!=cart", {}, True),
        ("app!=cart", {"app": "cart"}, False),
        ("app in (cart, shop)", {"app": "shop"}, True),
        ("app in ()", {"app": ""}, True),
        ("app in (,cart)", {"app": ""}, True),
        ("app notin (cart)", {}, True),
        ("app notin (cart),tier", {"tier": "x"}, True),
        ("rank>5,rank<7", {"rank": "6"}, True),
        ("rank>5", {"rank": "six"}, False),
        ("rank>5", {}, False),
        ("in in (in,notin)", {"in": "notin"}, True),
        (" app = cart , tier != web ", {"app": "cart"}, True),
        ("app=", {"app": ""}, True),
        ("example.com/app=cart", {"example.com/app": "cart"}, True),
    ],
)
def test_text(text: str, labels: dict[str, str], matches: bool) -> None:
    assert Selector.parse(text).matches(labels) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a,", "found '', expected: identifier after ','"),
        ("(a)", "found '(', expected: !, identifier, or 'end of string'"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a$=b", 'unable to parse requirement: <nil>: Invalid value: "a$": name part must consist of'),
        (
            "a=" + "x" * 64,
            f'unable to parse requirement: values[0][a]: Invalid value: "{"x" * 64}": must be no more than 63',
        ),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must",
        ),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
    ],
)
def test_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        Selector.parse(text)
    assert str(caught.value).startswith(message)


def test_label_selector_objects() -> None:
    selector = Selector.from_object(
        {
            "matchLabels": {"app": "cart"},
            "matchExpressions": [
                {"key": "tier", "operator": "NotIn", "values": ["web"]},
                {"key": "live", "operator": "Exists"},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        }
    )
    assert selector.matches({"app": "cart", "live": "1"})
    assert not selector.matches({"app": "cart", "live": "1", "old": "1"})
    assert str(selector) == "app=cart,live,!old,tier notin (web)"
    assert Selector.from_object({}).matches({})
    assert not Selector.from_object(None).matches({})
    assert Selector.from_object({}).is_empty()
    assert not Selector.nothing().is_empty()
    with pytest.raises(SelectorError, match='"Like" is not a valid label selector operator'):
        Selector.from_object({"matchExpressions": [{"key": "a", "operator": "Like", "values": ["b"]}]})
    with pytest.raises(SelectorError, match="values set can't be empty"):
        Selector.from_object({"matchExpressions": [{"key": "a", "operator": "In"}]})


_keys = st.sampled_from(["app", "tier", "example.com/zone", "in"])
_values = st.sampled_from(["", "a", "b", "5", "c-d"])
_requirements = st.one_of(
    st.builds(Requirement, _keys, st.sampled_from(["=", "==", "!="]), st.tuples(_values)),
    st.builds(Requirement, _keys, st.sampled_from(["exists", "!"])),
    st.builds(
        Requirement,
        _keys,
        st.sampled_from(["in", "notin"]),
        st.lists(_values, min_size=1, max_size=3, unique=True).map(lambda values: tuple(sorted(values))),
    ),
    st.builds(Requirement, _keys, st.sampled_from(["gt", "lt"]), st.integers(0, 9).map(lambda number: (str(number),))),
)


@given(st.lists(_requirements, max_size=4), st.dictionaries(_keys, _values))
def test_printing_and_reading_again_changes_nothing(requirements: list[Requirement], labels: dict[str, str]) -> None:
    selector = Selector(tuple(requirements))
    again = Selector.parse(str(selector))
    assert again.matches(labels) == selector.matches(labels)
    assert sorted(map(str, again.requirements)) == sorted(map(str, requirements))


@given(st.text(alphabet="ab=!(),<> inot$", max_size=20))
def test_no_text_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(SelectorError):
        Selector.parse(text)
