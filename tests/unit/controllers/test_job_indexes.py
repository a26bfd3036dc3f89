"""Index sets as text, and the verdicts of a Job."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wherry.controllers.job.indexes import parse, text
from wherry.controllers.job.plan import backoff_seconds


def test_the_form() -> None:
    assert text({0, 1, 2, 4, 6, 7}) == "0-2,4,6,7"
    assert text([]) == ""
    assert parse("0-2,4", 10) == {0, 1, 2, 4}
    assert parse("0-20", 3) == {0, 1, 2}
    assert parse(None, 3) == set()


@given(st.sets(st.integers(0, 200)))
def test_there_and_back(indexes: set[int]) -> None:
    assert parse(text(indexes), 201) == indexes


def test_backoff() -> None:
    assert [backoff_seconds(count) for count in (0, 1, 2, 3, 7, 50)] == [0, 10, 20, 40, 600, 600]
