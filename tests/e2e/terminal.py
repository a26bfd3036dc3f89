"""A terminal for kubectl: what a person at a keyboard has, with a size that can change."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time

from wherry_system import PATIENCE


class Terminal:
    """Runs a command on a pseudo terminal of its own; use it in a `with` block."""

    def __init__(self, command: list[str], environment: dict[str, str], rows: int = 24, columns: int = 80) -> None:
        self.ours, theirs = os.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "TERM": "xterm"},
        )
        os.close(theirs)
        self.text = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def shows(self, pattern: str, seconds: float = PATIENCE) -> str:
        """Wait until the pattern appears in what came since the last call; returns the match."""
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, self.text)):
            left = end - time.monotonic()
            readable, _, _ = select.select([self.ours], [], [], max(left, 0))
            try:
                data = os.read(self.ours, 65536) if readable else b""
            except OSError:  # the other side is gone
                data = b""
            assert data, f"{pattern!r} never appeared in {self.text!r}"
            self.text += data.decode(errors="replace")
        self.text = self.text[match.end() :]
        return match[0]

    def end(self, seconds: float = PATIENCE) -> int:
        return self.process.wait(seconds)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
