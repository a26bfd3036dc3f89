"""An exec'ed process, or a running container attached to, as seen from asyncio."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import struct
import termios
from collections.abc import Mapping, Sequence

KILLED = 128 + 9  # what is left to say when the pod or the launcher has gone


class LauncherSession:
    """`ExecSession` over the launcher's descriptors: the first is the leash, which ends the process when it is closed."""

    def __init__(self, description: Mapping[str, bool], fds: Sequence[int], *, tty: bool) -> None:
        rest = list(fds)
        self._leash = socket.socket(fileno=rest.pop(0))
        self._leash.setblocking(False)
        self._tty = tty
        self._code: asyncio.Future[int] | None = None
        self.stdin: socket.socket | int | None = None
        self.stdout: int | None = None
        self.stderr: int | None = None
        for fd in rest:
            os.set_blocking(fd, False)
        if description.get("tty"):
            self.stdin = self.stdout = rest.pop(0)
        if description.get("stdin"):
            self.stdin = rest.pop(0)
        if description.get("stdout"):
            self.stdout = rest.pop(0)
        if description.get("stderr"):
            self.stderr = rest.pop(0)
        assert not rest, "a descriptor that nobody described"

    async def wait(self) -> int:
        """The exit code; of the container, when attached. May be awaited by several and again."""
        if self._code is None:
            self._code = asyncio.ensure_future(self._receive())
        return await asyncio.shield(self._code)

    async def _receive(self) -> int:
        text = await asyncio.get_running_loop().sock_recv(self._leash, 4096)
        return int(json.loads(text)["code"]) if text else KILLED

    def resize(self, columns: int, rows: int) -> None:
        """Only a terminal has a size; without one this does nothing."""
        if self._tty and isinstance(self.stdin, int):
            fcntl.ioctl(self.stdin, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close_stdin(self) -> None:
        """End of file for the process; a terminal has none."""
        if isinstance(self.stdin, int) and self.stdin != self.stdout:
            os.close(self.stdin)
            self.stdin = None

    def close(self) -> None:
        """Idempotent."""
        if self._code is not None and not self._code.done():
            self._code.cancel()
        self._leash.close()
        for fd in {self.stdin, self.stdout, self.stderr}:
            if isinstance(fd, int):
                os.close(fd)
        self.stdin = self.stdout = self.stderr = None
