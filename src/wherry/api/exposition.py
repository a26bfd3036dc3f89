"""Prometheus' text format 0.0.4: families of samples to bytes. Pure; who counts what is elsewhere."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"


class Sample(Struct, frozen=True):
    """One value with its labels; `suffix` is _bucket, _sum or _count of a histogram. `at`: seconds since the epoch."""

    labels: Mapping[str, str]
    value: float
    suffix: str = ""
    at: float | None = None


class Family(Struct, frozen=True):
    """Everything under one name."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    samples: list[Sample] = field(default_factory=list)


def histogram(labels: Mapping[str, str], bounds: Iterable[float], counts: Iterable[int], total: float) -> list[Sample]:
    """`counts` per bucket, the last for what lies above all bounds; `total` is the sum of all values."""
    sums = list(accumulate(counts))
    names = [*(_number(bound) for bound in bounds), "+Inf"]
    samples = [Sample({**labels, "le": name}, value, "_bucket") for name, value in zip(names, sums, strict=True)]
    return [*samples, Sample(labels, total, "_sum"), Sample(labels, sums[-1], "_count")]


def text(families: Iterable[Family]) -> bytes:
    """The families that have samples, by name; labels in the order of their names but `le`, which is last."""
    lines: list[str] = []
    for family in sorted(families, key=lambda each: each.name):
        if family.samples:
            lines.append(f"# HELP {family.name} {_escaped(family.help, quotes=False)}")
            lines.append(f"# TYPE {family.name} {family.type}")
            lines += [_line(family.name, sample) for sample in family.samples]
    return ("\n".join(lines) + "\n").encode() if lines else b""


def _line(name: str, sample: Sample) -> str:
    ordered = sorted(sample.labels.items(), key=lambda pair: (pair[0] == "le", pair[0]))
    labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in ordered)
    at = f" {int(sample.at * 1000)}" if sample.at is not None else ""
    return (
        f"{name}{sample.suffix}{{{labels}}} {_number(sample.value)}{at}"
        if labels
        else (f"{name}{sample.suffix} {_number(sample.value)}{at}")
    )


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _escaped(value: str, quotes: bool = True) -> str:
    value = value.replace("\\", "\\\\").replace("\n", "\\n")
    return value.replace('"', '\\"') if quotes else value


def process() -> list[Family]:
    """What every exporter says of its own process."""
    root = Path("/proc/self")
    fields = (root / "stat").read_text().rpartition(")")[2].split()
    pages, ticks = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    values: tuple[tuple[str, Literal["counter", "gauge"], str, float], ...] = (
        ("process_cpu_seconds_total", "counter", "CPU time, user and system.", usage.ru_utime + usage.ru_stime),
        ("process_resident_memory_bytes", "gauge", "Resident memory.", int(fields[21]) * pages),
        ("process_virtual_memory_bytes", "gauge", "Virtual memory.", int(fields[20])),
        ("process_start_time_seconds", "gauge", "When it started.", int(boot.split()[1]) + int(fields[19]) / ticks),
        ("process_open_fds", "gauge", "Open file descriptors.", len(list((root / "fd").iterdir())) - 1),
        ("process_max_fds", "gauge", "How many may be open.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    )
    return [Family(name, kind, help, [Sample({}, value)]) for name, kind, help, value in values]
