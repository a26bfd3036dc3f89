"""Lengths of time as people write them in tests: `90`, `"6h"`, `"1d12h"`, `"500ms"`. Pure."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TypeAlias

Duration: TypeAlias = float | str | timedelta
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def seconds(duration: Duration) -> float:
    """Raises ValueError."""
    if isinstance(duration, timedelta):
        length = duration.total_seconds()
    elif isinstance(duration, str):
        parts = _PART.findall(duration)
        if not parts or "".join(number + unit for number, unit in parts) != duration:
            raise ValueError(
                f'{duration!r}: a duration is a number of seconds or a text such as "500ms", "6h" or "1d12h"'
            )
        length = sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        length = float(duration)
    if length < 0:
        raise ValueError(f"{duration!r}: time does not go back")
    return length
