"""Times are read strictly and stored in one form."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from wherry.api.base64_text import problem
from wherry.api.times import canonical, http_date


def test_canonical() -> None:
    assert canonical("2020-01-02T03:04:05Z") == "2020-01-02T03:04:05Z"
    assert canonical("2020-01-02T03:04:05.987+02:00") == "2020-01-02T01:04:05Z"
    assert canonical("2020-01-02T03:04:05.123456-01:30", micro=True) == "2020-01-02T04:34:05.123456Z"


@pytest.mark.parametrize("seconds", [0, 951_782_400, 1_800_000_000, 4_102_444_799])
def test_the_date_of_an_answer(seconds: int) -> None:
    assert http_date(seconds) == formatdate(seconds, usegmt=True)


@pytest.mark.parametrize(
    ("text", "micro", "message"),
    [
        ("yesterday", True, ' as "2006-01-02T15:04:05.000000Z07:00": cannot parse "yesterday" as "2006"'),
        ("2020-01-02T03:04:05Z", True, ' as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"'),
        ("", False, ' as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006"'),
        ("2020-01-02 03:04:05Z", False, ' as "2006-01-02T15:04:05Z07:00": cannot parse " 03:04:05Z" as "T"'),
        ("2020-13-02T03:04:05Z", False, ": month out of range"),
        ("2020-02-30T03:04:05Z", False, ": day out of range"),
        ("2020-01-02T03:04:05", False, ' as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00"'),
        ("2020-01-02T03:04:05Zz", False, ': extra text: "z"'),
    ],
)
def test_no_time(text: str, micro: bool, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        canonical(text, micro)
    assert str(caught.value) == f'parsing time "{text}"{message}'


@pytest.mark.parametrize(
    ("text", "byte"), [("!", 0), ("YQ", 0), ("YWJj=", 4), ("YQ=x", 2), ("YQ==x", 4), ("YWI", 0), ("a b", 1)]
)
def test_where_base64_breaks(text: str, byte: int) -> None:
    assert problem(text) == f"illegal base64 data at input byte {byte}"
