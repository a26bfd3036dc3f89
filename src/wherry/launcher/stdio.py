"""The standard streams of a new process: both ends of its pipes until each is where it belongs."""

from __future__ import annotations

import os

from wherry.launcher import protocol


class Stdio:
    """The pipes of a new process; with a terminal there are none, and `ours` becomes its master."""

    def __init__(self, *, tty: bool, stdin: bool) -> None:
        self._tty = tty
        self._stdin = stdin
        self.ours: list[int] = []
        self.theirs: list[int] = []
        if tty:
            return
        if stdin:
            read, write = os.pipe()
            self.theirs.append(read)
            self.ours.append(write)
        else:
            self.theirs.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        for _ in ("stdout", "stderr"):
            read, write = os.pipe()
            self.ours.append(read)
            self.theirs.append(write)

    def description(self) -> dict[str, bool]:
        """What the descriptors of an answer are, in their order."""
        return {
            "stdin": self._stdin and not self._tty,
            "stdout": not self._tty,
            "stderr": not self._tty,
            "tty": self._tty,
        }

    def set_master(self, fd: int) -> None:
        self.ours = [fd]

    def take_stdin(self) -> int:
        return self.ours.pop(0) if self._stdin and not self._tty else -1

    def take_outputs(self) -> list[tuple[str, int]]:
        taken, self.ours = self.ours, []
        return list(zip(("stdout", "stderr"), taken, strict=False))

    def close_theirs(self) -> None:
        protocol.close_fds(self.theirs)
        self.theirs = []

    def close_ours(self) -> None:
        protocol.close_fds(self.ours)
        self.ours = []
