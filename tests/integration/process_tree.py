"""Processes of the machine as /proc shows them, for tests that look at what the launcher made."""

from __future__ import annotations

from pathlib import Path


def children(pid: int) -> list[int]:
    """Of its first thread, the oldest first; none once it has gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def name(pid: int) -> str:
    """What ps shows; empty once it has gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except OSError:
        return ""


def state(pid: int) -> str:
    """R, S, T, Z …, see proc_pid_stat(5); empty once it has gone."""
    return _after_its_name(pid)[0]


def parent(pid: int) -> int:
    """0 once it has gone."""
    return int(_after_its_name(pid)[1])


def lives(pid: int) -> bool:
    """Neither gone nor waiting to be reaped."""
    return state(pid) not in ("", "Z")


def _after_its_name(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["", "0"]
