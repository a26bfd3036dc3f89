"""Processes of a system as any of its commands can find them: pid files that cannot name the wrong process.

A pid file holds the pid and the process's start time (clock ticks since boot, field 22 of /proc/PID/stat): a reused pid
has another start time. Standard library only, the supervisor imports this.
"""

from __future__ import annotations

import json
import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

from wherry.cluster import private


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was running when it was looked at."""

    pid: int
    start: int

    def write(self, path: Path) -> None:
        private.write_or_overwrite(path, json.dumps({"pid": self.pid, "start": self.start}))

    def open(self) -> int | None:
        """A pidfd, or None when it is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if start_time(self.pid) != self.start:
            os.close(descriptor)
            return None
        return descriptor

    def alive(self) -> bool:
        return start_time(self.pid) == self.start

    def signal(self, number: signal.Signals) -> None:
        """Send `number` unless it is gone; never hits a process that reuses the pid."""
        descriptor = self.open()
        if descriptor is None:
            return
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within `seconds`."""
        descriptor = self.open()
        if descriptor is None:
            return True
        try:
            readable, _, _ = select.select([descriptor], [], [], seconds)
            return bool(readable)
        finally:
            os.close(descriptor)


def start_time(pid: int) -> int | None:
    """Clock ticks since boot at which `pid` started; None when it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def running(path: Path) -> Process | None:
    """The live process of a pid file."""
    try:
        written = json.loads(path.read_text())
        process = Process(int(written["pid"]), int(written["start"]))
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return process if process.alive() else None


def record(pid: int, path: Path) -> Process | None:
    """Write the pid file of a process just started; None when it has ended already."""
    start = start_time(pid)
    if start is None:
        return None
    process = Process(pid, start)
    process.write(path)
    return process
