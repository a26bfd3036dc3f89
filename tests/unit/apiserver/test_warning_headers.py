"""Warnings as headers: quoted, said once, and never more than a client can read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wherry.apiserver.warning_headers import COUNT_MAX, ITEM_MAX, TOTAL_MAX, warning_values


def test_each_once_and_quoted() -> None:
    assert warning_values(["a", 'say "b"\n', "a", ""]) == ['299 - "a"', '299 - "say \\"b\\" "']


def test_long_texts_are_cut_only_when_there_are_too_many() -> None:
    assert warning_values(["x" * 4000]) == [f'299 - "{"x" * 4000}"']
    cut = warning_values(["x" * 4000, "y" * 4000, "z"])
    assert cut == [f'299 - "{"x" * ITEM_MAX}"', f'299 - "{"y" * ITEM_MAX}"', '299 - "z"']


@given(st.lists(st.text(max_size=400), max_size=300))
def test_bounded(texts: list[str]) -> None:
    values = warning_values(texts)
    assert len(values) <= COUNT_MAX
    assert sum(len(value) for value in values) <= 2 * (TOTAL_MAX + ITEM_MAX) + 10 * len(values)
    assert not any("\n" in value or "\r" in value for value in values)
