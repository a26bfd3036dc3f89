"""Amounts read, compare and print as Kubernetes' do."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.api.quantity import Quantity, QuantityError


@pytest.mark.parametrize(
    ("text", "printed", "milli", "value"),
    [
        ("0", "0", 0, 0),
        ("0Mi", "0", 0, 0),
        ("1000m", "1", 1000, 1),
        ("0.5", "500m", 500, 1),
        (".5", "500m", 500, 1),
        ("5.", "5", 5000, 5),
        ("1.5Gi", "1536Mi", 1610612736000, 1610612736),
        ("1024Mi", "1Gi", 2**30 * 1000, 2**30),
        ("1023Ki", "1023Ki", 1023 * 1024 * 1000, 1023 * 1024),
        ("0.5Ki", "512", 512000, 512),
        ("1e3", "1e3", 10**6, 1000),
        ("12E6", "12e6", 12 * 10**9, 12 * 10**6),
        ("123456k", "123456k", 123456 * 10**6, 123456000),
        ("1048576", "1048576", 1048576000, 1048576),
        ("100000", "100k", 10**8, 100000),
        ("-1.5", "-1500m", -1500, -2),
        ("+2", "2", 2000, 2),
        ("0.1n", "1n", 1, 1),
        ("100Ei", "9223372036854775807", (2**63 - 1) * 1000, 2**63 - 1),
        ("1e9999999999", "9223372036854775807e0", (2**63 - 1) * 1000, 2**63 - 1),
    ],
)
def test_canonical(text: str, printed: str, milli: int, value: int) -> None:
    quantity = Quantity.parse(text)
    assert str(quantity).removesuffix("e0") == printed.removesuffix("e0")
    assert quantity.milli_value() == milli
    assert quantity.value() == value


@pytest.mark.parametrize("text", ["", "abc", "1x", "1KiB", "+", "1.2.3", ".", "1 Gi", "m", "1,5", "0x10", "{}"])
def test_no_quantity(text: str) -> None:
    with pytest.raises(QuantityError, match="quantities must match"):
        Quantity.parse(text)


def test_other_messages() -> None:
    with pytest.raises(QuantityError, match="suffix"):
        Quantity.parse("1ki")
    with pytest.raises(QuantityError):
        Quantity.parse(True)


def test_numbers_of_json() -> None:
    assert str(Quantity.parse(1)) == "1"
    assert str(Quantity.parse(0.25)) == "250m"
    assert str(Quantity.parse(1048576)) == "1048576"


def test_comparison_and_arithmetic() -> None:
    assert Quantity.parse("1Gi") > Quantity.parse("1G")
    assert Quantity.parse("1000m") == Quantity.parse("1")
    assert hash(Quantity.parse("1000m")) == hash(Quantity.parse("1"))
    assert str(Quantity.parse("1Gi") + Quantity.parse("512Mi")) == "1536Mi"
    assert str(Quantity.parse("0") + Quantity.parse("2Ki")) == "2Ki"
    assert str(Quantity.parse("1") - Quantity.parse("250m")) == "750m"
    assert str(Quantity.parse("250m") * 4) == "1"
    assert str(-Quantity.parse("1Gi")) == "-1Gi"
    assert str(Quantity.parse("0.1m").round_up_milli()) == "1m"
    assert str(Quantity.from_milli(1500)) == "1500m"
    assert str(Quantity.from_value(2**20, "BinarySI")) == "1Mi"


_numbers = st.builds(
    lambda whole, part: f"{whole}{part}", st.integers(0, 10**9), st.sampled_from(["", ".5", ".125", ".001"])
)
_suffixes = st.sampled_from(["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "e-3", "E2"])


@given(st.sampled_from(["", "-", "+"]), _numbers, _suffixes)
def test_printing_keeps_the_value(sign: str, number: str, suffix: str) -> None:
    quantity = Quantity.parse(sign + number + suffix)
    again = Quantity.parse(str(quantity))
    assert again == quantity
    # What a binary suffix could not say exactly prints as plain digits, and those read as a decimal number.
    assert str(again) == str(quantity) or suffix in ("Ki", "Mi", "Gi")
    assert str(Quantity.parse(str(again))) == str(again)


@given(_numbers, _suffixes)
def test_value_is_the_smallest_integer_not_below(number: str, suffix: str) -> None:
    quantity = Quantity.parse(number + suffix)
    exact = Fraction(quantity.nanos, 10**9)
    assert quantity.value() - 1 < exact <= quantity.value()
    assert quantity.milli_value() - 1 < exact * 1000 <= quantity.milli_value()
