"""How deep a body may nest: found out in linear time, whatever is in its strings."""

from __future__ import annotations

import json as plain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.api import json

DEEP = [b'{"a":' * 251 + b"1" + b"}" * 251, b"[" * 251 + b"]" * 251, b'[{"a":' * 126 + b"1" + b"}]" * 126]
STRINGS = st.text(st.sampled_from('[]{}"\\x'), max_size=6)
VALUES = st.recursive(
    STRINGS | st.none(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STRINGS, inner, max_size=4)
)


@pytest.mark.parametrize("body", DEEP)
def test_too_deep(body: bytes) -> None:
    assert json.is_deep(body)
    assert json.is_deep_value(plain.loads(body))
    for read in (json.decode_body, json.decode_strict):
        with pytest.raises(ValueError, match="exceeded max depth"):
            read(body)
    assert json.syntax_problem(body) == "exceeded max depth"


def depth(value: Any) -> int:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if below is None else 1 + max(map(depth, below), default=0)


@given(VALUES, st.integers(1, 6))
def test_as_deep_as_it_is(value: Any, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json, "DEPTH_MAX", limit)
        assert json.is_deep(plain.dumps(value).encode()) == (depth(value) > limit)
        if isinstance(value, dict | list):
            assert json.is_deep_value(value) == (depth(value) > limit)
