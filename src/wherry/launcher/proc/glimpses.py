"""Memory of threads that name one path of the machine's after the other, as programs do that begin: kept open, since reading it
by process_vm_readv(2) costs most of such an answer.

Nothing says that a thread's number is not another's by now, so what is read here may be told only of the machine's own paths,
which the kernel finds for whoever asks. What is promised to a container is read again, from who surely waits (finding.py).
"""

from __future__ import annotations

import os

KEPT_MAX = 16
"""Threads; each kept one is a descriptor."""
ENOUGH = 3
"""Paths of the machine's in a row, until opening a thread's memory pays off."""
LENGTH_MAX = 256
"""A longer path is read otherwise."""


class Glimpses:
    """Always true: memory is of no program that was replaced since (`forget`)."""

    def __init__(self) -> None:
        self._memory: dict[int, int] = {}
        self._asked: dict[int, int] = {}
        """How often in a row, of threads that are not kept."""

    def path(self, thread: int, address: int) -> bytes | None:
        """What it says there, up to its zero byte; None where it has to be read otherwise."""
        memory = self._memory.get(thread)
        if memory is None or address >> 63:  # the kernel's half, and no offset of a file
            return None
        try:
            piece = os.pread(memory, LENGTH_MAX, address)  # fewer, where the next page is none
        except OSError:
            piece = b""
        end = piece.find(b"\0")
        if end < 0:  # its program has ended, or it is long
            self.promised(thread)
            return None
        return piece[:end]

    def machines(self, thread: int) -> None:
        """It named one of the machine's."""
        if thread in self._memory:
            return
        times = self._asked[thread] = self._asked.pop(thread, 0) + 1
        if times >= ENOUGH:
            del self._asked[thread]
            self._open(thread)
        elif len(self._asked) > KEPT_MAX:
            del self._asked[next(iter(self._asked))]

    def promised(self, thread: int) -> None:
        """It named something else, for which memory is of no use."""
        self._asked.pop(thread, None)
        if thread in self._memory:
            os.close(self._memory.pop(thread))

    def forget(self) -> None:
        """A program is replaced by another one, maybe of another thread's number."""
        for memory in self._memory.values():
            os.close(memory)
        self._memory.clear()
        self._asked.clear()

    def _open(self, thread: int) -> None:
        try:
            self._memory[thread] = os.open(f"/proc/{thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        if len(self._memory) > KEPT_MAX:
            os.close(self._memory.pop(next(iter(self._memory))))
