"""JSON: duplicates are found, malformed text is named as Go names it."""

from __future__ import annotations

import pytest

from wherry.api import json


def test_duplicates() -> None:
    (value, found) = json.decode_strict(b'{"a":{"b":1,"b":2},"c":[{"x":1,"x":2,"x":3}],"d":1}')
    assert value == {"a": {"b": 2}, "c": [{"x": 3}], "d": 1}
    assert found == ["a.b", "c[0].x"]
    assert json.decode_strict(b' {"a": 1.0, "b": "\\u003c"}\n') == ({"a": 1.0, "b": "<"}, [])
    assert json.decode_strict(b'{"a":1}') == ({"a": 1}, [])


def test_big_integers_survive() -> None:
    assert json.encode(json.decode(b"[9223372036854775808]")) == b"[9223372036854775808]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a":', "unexpected end of JSON input"),
        (b'{"a":"x', "unexpected end of JSON input"),
        (b"", "unexpected end of JSON input"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":[1],"b":1 "c"}', "invalid character '\"' after object key:value pair"),
        (b"{} x", "invalid character 'x' after top-level value"),
        (b"nope", "invalid character 'n' looking for beginning of value"),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        (b'{"a":NaN}', "invalid character 'N' looking for beginning of value"),
        (b'\x00{"a":1}', "invalid character '\\u0000' looking for beginning of value"),
        (b'{"a":"\x00"}', "invalid character '\\u0000' in string literal"),
        (b"9" * 5000, "invalid number"),
        (b'{"a":1e400}', "invalid number"),
    ],
)
def test_malformed(text: bytes, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        json.decode_strict(text)
    assert str(caught.value) == message


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ValueError):
        json.decode_strict(b"[" * 100_000)


@pytest.mark.parametrize("text", [b'{"a":"x\xff"}', b'{"a":"x\\ud800"}', b'{"a":"x\\uDC00"}', b'{"a":0,"a":"x\xff"}'])
def test_what_is_no_unicode_is_replaced(text: bytes) -> None:
    assert json.decode(text) == json.decode_strict(text)[0] == {"a": "x\ufffd"}


def test_pairs_and_escaped_backslashes_stay() -> None:
    text = b'["\\ud83d\\ude00", "\\\\ud800", "\xff"]'
    assert json.decode(text) == ["\U0001f600", "\\ud800", "\ufffd"]
