from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.network import slots
from wherry.network.services import Backend

backends = st.integers(0, 200).map(lambda n: Backend(f"10.244.0.{n}", 80))
sets = st.lists(backends, max_size=70, unique=True)


@given(sets, sets)
def test_shares_differ_by_at_most_one_and_few_slots_move(before: list[Backend], after: list[Backend]) -> None:
    first = slots.balanced(before, slots.NARROW)
    second = slots.balanced(after, slots.NARROW, first)
    counts = Counter(second)
    assert len(second) == (slots.NARROW if after else 0)
    assert set(counts) <= set(after)
    if after:
        assert len(counts) == min(len(after), slots.NARROW)
        assert max(counts.values()) - min(counts.values()) <= 1
    assert slots.balanced(after, slots.NARROW, second) == second
    if set(before) <= set(after) and before:
        moved = sum(a != b for a, b in zip(first, second, strict=True))
        share = -(-slots.NARROW // max(len(counts), 1))
        assert moved <= share * max(len(set(counts) - set(before)), 0) + len(before)


@settings(max_examples=20)
@given(st.lists(backends, min_size=2, max_size=30, unique=True))
def test_sticky_moves_only_what_the_newcomer_takes(chosen: list[Backend]) -> None:
    *others, newcomer = chosen
    before, after = slots.sticky(others), slots.sticky(chosen)
    assert all(a == b or b == newcomer for a, b in zip(before, after, strict=True))
    assert slots.sticky(list(reversed(chosen))) == after
    assert slots.favourite("192.0.2.9", chosen) in chosen


def test_sticky_is_fair_enough() -> None:
    counts = Counter(slots.sticky([Backend(f"10.244.0.{n}", 80) for n in range(6)]))
    assert len(counts) == 6
    assert max(counts.values()) < 2 * min(counts.values())
    assert slots.sticky([]) == ()
