"""What a pod on a simulated node does, as its annotations say.

    simulation.wherry.dev/start-after   how long until its containers run           (default 0s)
    simulation.wherry.dev/ready-after   from then on, until they are ready          (0s)
    simulation.wherry.dev/run-for       from then on, until they end by themselves  (never; 1s unless restarted always)
    simulation.wherry.dev/exit-code     with which they end                         (0)
    simulation.wherry.dev/stop-after    how long they take to end when told to      (0s; killed when the grace period ends)
    simulation.wherry.dev/cpu           what each container uses: `250m`, or steps from its start: `0s=100m,1m30s=2`  (0)
    simulation.wherry.dev/memory        likewise: `64Mi`                            (0)
    simulation.wherry.dev/logs          what it writes, line by line: `ready`, or `@1m30s ready` from its start   (nothing)

Pure. What cannot be understood is refused by name and value; nothing is guessed.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.kubelet import pod_spec

PREFIX = "simulation.wherry.dev/"
RUN_ONCE_SECONDS = 1.0
"""How long a container runs that is meant to end (a Job's) and does not say: long enough to be seen running."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
KEYS = ("start-after", "ready-after", "run-for", "exit-code", "stop-after", "cpu", "memory", "logs")

Steps = tuple[tuple[float, int], ...]
"""(seconds since the container's start, what it uses from then on), in order of time."""


Lines = tuple[tuple[float, str], ...]
"""(seconds since the container's start, what it writes then), in order."""


class ScriptError(ValueError):
    """An annotation says nothing that could be done; the text names it, its value and what it may be."""


class Script(Struct, frozen=True):
    """Times in seconds, CPU in nano-cores, memory in bytes. `run_for` None: until somebody ends it."""

    start_after: float = 0.0
    ready_after: float = 0.0
    run_for: float | None = None
    exit_code: int = 0
    stop_after: float = 0.0
    cpu: Steps = ()
    memory: Steps = ()
    logs: Lines | None = None

    @classmethod
    def of(cls, pod: Obj) -> Script:
        """Raises ScriptError."""
        said = {
            key.removeprefix(PREFIX): value
            for key, value in (pod["metadata"].get("annotations") or {}).items()
            if key.startswith(PREFIX)
        }
        for key in said:
            if key not in KEYS:
                raise ScriptError(f"annotation {PREFIX}{key} is not known: use one of {', '.join(KEYS)}")

        def read(key: str, reader: Callable[[str], Any], default: Any) -> Any:
            if key not in said:
                return default
            try:
                return reader(said[key])
            except ValueError as error:
                raise ScriptError(f"annotation {PREFIX}{key}: {said[key]!r}: {error}") from None

        return cls(
            read("start-after", duration, 0.0),
            read("ready-after", duration, 0.0),
            read("run-for", duration, None if pod_spec.restart_policy(pod) == "Always" else RUN_ONCE_SECONDS),
            read("exit-code", _exit_code, 0),
            read("stop-after", duration, 0.0),
            read("cpu", lambda text: steps(text, lambda amount: amount.nanos), ()),
            read("memory", lambda text: steps(text, lambda amount: amount.value()), ()),
            read("logs", lines, None),
        )


def duration(text: str) -> float:
    """Seconds of `1h30m`, `2.5s`, `300ms`. Raises ValueError."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError('must be a duration such as "500ms", "2s" or "1m30s"')
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))


def _exit_code(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 255:
        raise ValueError("must be a number from 0 to 255")
    return int(text)


def steps(text: str, unit: Callable[[Quantity], int]) -> Steps:
    """`250m` or `0s=100m,30s=2`. Raises ValueError."""
    found = []
    for part in text.split(","):
        moment, equals, amount = part.strip().rpartition("=")
        quantity = Quantity.parse(amount)
        if quantity.nanos < 0:
            raise ValueError("must not be negative")
        found.append((duration(moment) if equals else 0.0, unit(quantity)))
    moments = [moment for moment, _ in found]
    if moments != sorted(set(moments)):
        raise ValueError("the steps must be in order of time, one for each moment")
    return tuple(found)


def lines(text: str) -> Lines:
    """A line that begins with `@DURATION ` is written then, any other with the one before. Raises ValueError."""
    found: list[tuple[float, str]] = []
    moment = 0.0
    for line in text.splitlines():
        if line.startswith("@"):
            said, _, line = line[1:].partition(" ")
            if (then := duration(said)) < moment:
                raise ValueError("the lines must be in order of time")
            moment = then
        found.append((moment, line))
    return tuple(found)


def used(plan: Steps, since_start: float) -> int:
    """What the plan says for this moment; 0 before its first step."""
    index = bisect_right([moment for moment, _ in plan], since_start) - 1
    return plan[index][1] if index >= 0 else 0
