"""Variables, quotes and escapes, as Docker's reference describes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.builder.variables import VariableError, assignments, document, word, words

VALUES = {"x": "one", "empty": "", "spaced": "a b", "_U2": "u"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$x ${x} $_U2", ["one", "one", "u"]),
        ("$xy", []),
        ("a$unknown", ["a"]),
        ("${x}y", ["oney"]),
        ("$", ["$"]),
        ("$1", ["$1"]),
        (r"\$x \${x}", ["$x", "${x}"]),
        ("'$x'", ["$x"]),
        ('"$x y"', ["one y"]),
        ("$spaced", ["a b"]),
        (r"a\ b", ["a b"]),
        (r'"\d \" \$x \\"', ['\\d " $x \\']),
        (r"'\d'", ["\\d"]),
        ('""', [""]),
        ("a''b", ["ab"]),
        ("${x:-d} ${y:-d} ${empty:-d} ${empty-d} ${y-d}", ["one", "d", "d", "", "d"]),
        ("${x:+a} ${y:+a}b ${empty:+a}b ${empty+a}", ["a", "b", "b", "a"]),
        ("${y:-${x}}", ["one"]),
        ("${y:-${z:-${x}-}}", ["one-"]),
        ('${y:-"a b"}', ["a b"]),
        ("${x:?must be set}", ["one"]),
    ],
)
def test_words(text, expected):
    found = words(text, VALUES)
    assert [each for each in found if each or '""' in text or "${" in text] == expected


def test_a_word_keeps_its_spaces():
    assert word(' a  "$x" b', VALUES) == " a  one b"


def test_another_escape_character():
    assert words("`$x C:\\$x", VALUES, "`") == ["$x", "C:\\one"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${x", "is not closed"),
        ("${}", "a name must follow"),
        ("${1}", "a name must follow"),
        ("${x:=y}", "bad modifier"),
        ("${x/a/b}", "bad modifier"),
        ("${y:?say what}", "y: say what"),
        ("${y?}", "y: is not set"),
        ("'open", "is not closed"),
        ('"open', "is not closed"),
    ],
)
def test_errors(text, message):
    with pytest.raises(VariableError, match=message):
        words(text, VALUES)


def test_documents_have_no_quotes():
    assert document('don\'t "$x" \\$x \\n ${y:-d}\n', VALUES) == 'don\'t "one" $x \\n d\n'


def test_assignments():
    assert assignments('A=1 B="x y" C=$x\\ z D=', VALUES) == {"A": "1", "B": "x y", "C": "one z", "D": ""}
    assert assignments("A the rest of $x", VALUES) == {"A": "the rest of one"}
    assert assignments("A\tb", VALUES) == {"A": "b"}
    assert assignments("A=$A$x", {"A": "old", "x": "new"}) == {"A": "oldnew"}
    for text in ("A", "A=1 B", "=1"):
        with pytest.raises(VariableError, match="must be NAME=VALUE"):
            assignments(text, VALUES)


@given(st.text(alphabet="ab$x{}:-+?'\"\\ ", max_size=20))
def test_any_text_ends(text):
    for function in (words, word, document):
        try:
            function(text, VALUES)
        except VariableError:
            continue


@given(
    st.dictionaries(st.from_regex(r"[A-Z]{1,3}", fullmatch=True), st.text(alphabet="ab '\"\\$", max_size=6), min_size=1)
)
def test_quoted_values_come_back(values):
    def quoted(value: str) -> str:
        escaped = "".join("\\" + character if character in '"\\$' else character for character in value)
        return f'"{escaped}"'

    text = " ".join(f"{name}={quoted(value)}" for name, value in values.items())
    assert assignments(text, {}) == values
