"""Percentages of a number of replicas."""

from __future__ import annotations

import pytest

from wherry.api.intstr import is_percent, percent, scaled_value


def test_scaled_value() -> None:
    assert scaled_value(3, 10, True) == 3
    assert scaled_value("25%", 10, True) == 3
    assert scaled_value("25%", 10, False) == 2
    assert scaled_value("0%", 10, True) == 0
    assert scaled_value("150%", 3, False) == 4
    with pytest.raises(ValueError, match="is not a percentage"):
        scaled_value("http", 1, True)


def test_percent() -> None:
    assert is_percent("25%")
    assert not is_percent("-25%")
    assert percent("25%") == 25
    assert percent(25) is None
