"""Ends what is left of a pod whose first processes are gone: without pid namespaces the kernel does not.

A subreaper inherits the orphans of everything below it, so whoever is one finds them among its own children.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

ROUNDS_MAX = 100_000  # a killed process takes its time to go, and its children are the next round's
Process = tuple[int, int, int, str]
"""Number, parent, session, state."""


def children() -> list[Process]:
    """Of this process, which has one thread."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children") as file:
            numbers = file.read().split()
    except OSError:  # a kernel built without
        numbers = [name for name in os.listdir("/proc") if name.isdigit()]
    found = [process for number in numbers if (process := _read(number)) is not None]
    return [each for each in found if each[1] == me]


def _read(number: str) -> Process | None:
    try:
        with open(f"/proc/{number}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(number), int(fields[1]), int(fields[3]), fields[0].decode()


def end_children(wanted: Callable[[Process], bool]) -> None:
    """Kill the children of ours that `wanted` names, and theirs, which become ours; returns when none is left alive."""
    empty = 0
    for _ in range(ROUNDS_MAX):
        doomed = [each[0] for each in children() if each[3] != "Z" and wanted(each)]
        empty = 0 if doomed else empty + 1
        if empty == 2:  # one that became a zombie while we looked has left us its children
            return
        for pid in doomed:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
