"""Whole numbers in texts, as Go reads them; and amounts of thousands of digits, which cost nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.api.integers import atoi, capped
from wherry.api.quantity import Quantity

LARGEST = 2**63 - 1


@given(st.integers(-LARGEST - 1, LARGEST))
def test_numbers_of_64_bits(number: int) -> None:
    assert atoi(str(number)) == capped(str(number)) == number
    assert atoi(f"{'-' if number < 0 else '+'}000{abs(number)}") == number


@pytest.mark.parametrize("text", ["", "-", "²", "٣", "1_000", " 1", "1 ", "0x1"])
def test_what_is_no_number(text: str) -> None:
    for read in (atoi, capped):
        with pytest.raises(ValueError, match="invalid syntax"):
            read(text)


@pytest.mark.parametrize("text", [str(LARGEST + 1), str(-LARGEST - 2), "9" * 5000, "-" + "9" * 5000])
def test_what_is_too_large(text: str) -> None:
    with pytest.raises(ValueError, match="value out of range"):
        atoi(text)
    assert capped(text) == (-LARGEST - 1 if text[0] == "-" else LARGEST)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("9" * 5000, str(LARGEST)),
        ("9" * 5000 + "e-4999", "10"),
        ("0." + "0" * 5000 + "1", "1n"),
        ("1." + "0" * 5000, "1"),
        ("1e" + "9" * 5000, "9223372036854775807"),
        ("1e-" + "9" * 5000, "1e-9"),
        ("0" * 5000 + "7", "7"),
    ],
)
def test_amounts_of_many_digits(text: str, shown: str) -> None:
    assert str(Quantity.parse(text)) == shown
