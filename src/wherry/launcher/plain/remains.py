"""Ends what is left of a pod whose first processes are gone: without pid namespaces the kernel does not.

A subreaper inherits the orphans of everything below it, so whoever is one finds them among its own children.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

ROUNDS_MAX = 1000  # each ends one more generation of what forks as it dies
Process = tuple[int, int, int, str]
"""Number, parent, session, state."""


def processes() -> list[Process]:
    """Everything in /proc."""
    found: list[Process] = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            found.append((int(name), int(fields[1]), int(fields[3]), fields[0].decode()))
    return found


def end_children(wanted: Callable[[Process], bool]) -> None:
    """Kill the children of ours that `wanted` names and everything below them; returns when none is left alive."""
    me = os.getpid()
    for _ in range(ROUNDS_MAX):
        everything = processes()
        doomed = [each for each in everything if each[1] == me and each[3] != "Z" and wanted(each)]
        if not doomed:
            return
        below = {each[0] for each in doomed}
        while True:
            more = {each[0] for each in everything if each[1] in below} - below
            if not more:
                break
            below |= more
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
