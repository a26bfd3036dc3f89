"""Prometheus' text format, as read: what an application says of itself. Pure.

Source: Prometheus, "Exposition formats", version 0.0.4. Of each name only the sum over all label sets is kept: who scales
by requests per second means all of them.
"""

from __future__ import annotations

import math
import re

from msgspec import Struct, field

NAMES_MAX = 2000
"""Different names one application may have; the rest is not read, so that none fills our memory."""
_TYPE = re.compile(r"#\s*TYPE\s+(\S+)\s+(\S+)")
_SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?\s+(\S+)')


class Scrape(Struct):
    """`counters` only grow while the process lives, `gauges` go up and down; a name without a type is a gauge. Histograms
    and summaries give the counters NAME_sum and NAME_count."""

    counters: dict[str, float] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)


def read(text: str) -> Scrape:
    """Lines that are none are passed over, values that are not finite too."""
    found, types = Scrape(), dict[str, str]()
    for line in text.split("\n"):  # and at nothing else that str.splitlines takes for an end
        if line.startswith("#"):
            declared = _TYPE.match(line)
            if declared is not None and len(types) < NAMES_MAX:
                types[declared[1]] = declared[2]
            continue
        sample = _SAMPLE.match(line)
        value = _number(sample[2]) if sample is not None else None
        if sample is not None and value is not None:
            _add(found, types, sample[1], value)
    return found


def _add(found: Scrape, types: dict[str, str], name: str, value: float) -> None:
    base, _, end = name.rpartition("_")
    if types.get(base) in ("histogram", "summary") and end in ("sum", "count"):
        kind = "counter"
    elif (types.get(base) == "histogram" and end == "bucket") or types.get(name) == "summary":
        return  # shares of a distribution, whose sum means nothing
    else:
        kind = types.get(name) or types.get(base if end == "total" else name, "gauge")
    group = found.counters if kind == "counter" else found.gauges
    if name in group or len(group) < NAMES_MAX:
        group[name] = group.get(name, 0.0) + value


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
