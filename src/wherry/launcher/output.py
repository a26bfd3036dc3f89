"""What a container prints: read from its pipes (or terminal), written to its log, copied to whoever is attached."""

from __future__ import annotations

import os
import time

from wherry.launcher.logs import LineSplitter, LogFile, timestamp
from wherry.launcher.loop import READ, WRITE, Loop

READ_BYTES = 64 * 1024  # a pipe's default capacity
ATTACHED_BYTES_MAX = 4 * 1024 * 1024  # an attached client that is this far behind is cut off; the container never waits


class Tee:
    """The writing end of a pipe to one attached client. Owns `fd`."""

    def __init__(self, loop: Loop, fd: int) -> None:
        os.set_blocking(fd, False)
        self._loop = loop
        self._fd = fd
        self._waiting = bytearray()
        self._ending = False

    def write(self, data: bytes) -> None:
        if self._fd < 0 or self._ending:
            return
        if len(self._waiting) + len(data) > ATTACHED_BYTES_MAX:
            self.close()
            return
        self._waiting += data
        self._flush(0)

    def _flush(self, _: int) -> None:
        try:
            while self._waiting:
                del self._waiting[: os.write(self._fd, self._waiting)]
        except BlockingIOError:
            self._loop.watch(self._fd, WRITE, self._flush)
            return
        except OSError:  # the client has gone
            self.close()
            return
        self._loop.unwatch(self._fd)
        if self._ending:
            self.close()

    def end(self) -> None:
        """Close once everything has been taken."""
        self._ending = True
        if self._fd >= 0:
            self._flush(0)

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.unwatch(self._fd)
            os.close(self._fd)
            self._fd = -1


class Stream:
    """One of stdout and stderr. Owns `fd`, the reading end."""

    def __init__(self, loop: Loop, fd: int, name: str, log: LogFile | None) -> None:
        os.set_blocking(fd, False)
        self._loop = loop
        self._fd = fd
        self._log = log
        self._lines = LineSplitter(name)
        self._tees: list[Tee] = []
        loop.watch(fd, READ, self._readable)

    def add(self, tee: Tee) -> None:
        """Copy everything from now on."""
        self._tees.append(tee)

    def remove(self, tee: Tee) -> None:
        if tee in self._tees:
            self._tees.remove(tee)
            tee.close()

    def reopen_log(self) -> None:
        """Go on in a new file of the same name. Raises OSError."""
        if self._log is not None:
            self._log.reopen()

    def _readable(self, _: int) -> None:
        self._read()

    def _read(self) -> bool:
        """Whether there was something."""
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # EIO: the last user of the terminal has gone
            data = b""
        if not data:
            self.close()
            return False
        now = time.time_ns()
        if self._log is not None:
            self._log.write(self._lines.feed(data, timestamp(now).encode()), now / 1e9)
        for tee in self._tees:
            tee.write(data)
        return True

    def drain(self) -> None:
        """The container has ended: take what is still in the pipe, then close."""
        while self._fd >= 0 and self._read():
            pass
        self.close()

    def close(self) -> None:
        if self._fd < 0:
            return
        self._loop.unwatch(self._fd)
        os.close(self._fd)
        self._fd = -1
        now = time.time_ns()
        if self._log is not None:
            self._log.write(self._lines.end(timestamp(now).encode()), now / 1e9)
        for tee in self._tees:
            tee.end()
        self._tees.clear()
