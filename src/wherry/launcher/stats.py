"""CPU and memory of containers without cgroups, from /proc: which processes belong to one, and what they have used.

A process belongs to the container whose pid namespace it is in (or mount namespace, in pods that share the first; in tier
proc, without namespaces, whose session it is in). Its
CPU is what its processes have used plus what they have waited for in children: nothing is lost when one ends, because
its parent, in the end the container's first process, has waited for it. Descriptors of /proc/PID/stat stay open: reading
again costs half of opening, and one of a process that has gone says ESRCH instead of showing its successor.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

_TICK_NANOSECONDS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PROCESSES_MAX = 4096  # descriptors kept open; further processes are not counted


@dataclass(slots=True)
class _Process:
    fd: int
    namespace: str


@dataclass(frozen=True, slots=True)
class Usage:
    cpu_nanoseconds: int
    memory_bytes: int


class ProcessTable:
    """Everything in the /proc we see, by container namespace. `sample` is called about once a second."""

    def __init__(self) -> None:
        self._processes: dict[int, _Process] = {}

    def sample(self, namespaces: set[str]) -> dict[str, Usage]:
        """Usage by namespace (`pid:<inode>` or `mnt:<inode>`), of those asked for."""
        self._discover(namespaces)
        cpu: dict[str, int] = {}
        memory: dict[str, int] = {}
        for pid, process in list(self._processes.items()):
            used = self._read(process)
            if used is None:
                os.close(self._processes.pop(pid).fd)
            elif process.namespace:
                cpu[process.namespace] = cpu.get(process.namespace, 0) + used[0]
                memory[process.namespace] = memory.get(process.namespace, 0) + used[1]
        return {name: Usage(cpu[name], memory[name]) for name in cpu}

    def _discover(self, namespaces: set[str]) -> None:
        sessions = any(each.startswith("sid:") for each in namespaces)
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) in self._processes or len(self._processes) >= PROCESSES_MAX:
                continue
            found = next((space for space in namespace_of(int(name), sessions=sessions) if space in namespaces), "")
            if not found:  # ours, or a container that is only now becoming one: it is looked at again next time
                continue
            try:
                fd = os.open(f"/proc/{name}/stat", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            self._processes[int(name)] = _Process(fd, found)

    @staticmethod
    def _read(process: _Process) -> tuple[int, int] | None:
        try:
            text = os.pread(process.fd, 1024, 0)
        except OSError:
            return None
        return parse_stat(text)


def parse_stat(text: bytes) -> tuple[int, int] | None:
    """(CPU nanoseconds with waited-for children, resident bytes) of /proc/PID/stat."""
    fields = text[text.rfind(b")") + 2 :].split()
    if len(fields) < 22:
        return None
    ticks = sum(int(field) for field in fields[11:15])
    return ticks * _TICK_NANOSECONDS, int(fields[21]) * _PAGE_BYTES


def namespace_of(pid: int, *, sessions: bool = False) -> tuple[str, ...]:
    """`pid:<inode>` and `mnt:<inode>` of a process in the /proc we see, or `sid:<number>`; empty when it has gone or is not
    ours to look at."""
    try:
        if sessions:
            return (f"sid:{os.getsid(pid)}",)
        return (
            f"pid:{os.stat(f'/proc/{pid}/ns/pid').st_ino}",
            f"mnt:{os.stat(f'/proc/{pid}/ns/mnt').st_ino}",
        )
    except OSError:
        return ()


def members(namespace: str) -> list[int]:
    """The processes of one container now."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and namespace in namespace_of(int(name))]
