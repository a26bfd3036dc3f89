"""Values of either implementation in one form that JSON can carry, without what they are known to write differently."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from wherry.cel.times import Duration, Timestamp
from wherry.cel.values import BoolKey

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def plain(value: Any) -> Any:
    """Times to a millisecond, since the other side goes through floats; doubles as text, so that 1.0 is not 1."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, BoolKey):
        return value.value
    if isinstance(value, Timestamp | Duration):
        return [type(value).__name__, round(value.nanos / 1e6)]
    if isinstance(value, datetime):
        return ["Timestamp", round((value - EPOCH) / timedelta(milliseconds=1))]
    if isinstance(value, timedelta):
        return ["Duration", round(value / timedelta(milliseconds=1))]
    if isinstance(value, float):
        return "nan" if math.isnan(value) else f"double {value!r}"
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):  # Go writes +Inf, C++ inf
        return value.replace("+Inf", "inf").replace("-Inf", "-inf").replace("NaN", "nan").replace("-nan", "nan")
    if isinstance(value, bytes | bytearray):
        return plain(bytes(value).decode("latin-1"))
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(plain(key)): plain(each) for key, each in value.items()}
    return "type"
