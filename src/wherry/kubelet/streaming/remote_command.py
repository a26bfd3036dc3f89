"""exec and attach: bytes between a client and an `ExecSession`, whatever protocol the client speaks."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from wherry.api.types import Obj
from wherry.cri.interface import ExecSession
from wherry.kubelet.streaming import descriptors
from wherry.kubelet.streaming.channels import (
    STDERR,
    STDOUT,
    Event,
    Input,
    InputClosed,
    Resized,
    exit_status,
    success,
)

DRAIN_SECONDS = 1.0
"""How long the end of an output is waited for once its command has ended: a child it left behind may hold the pipe for ever."""


class Wanted(Struct, frozen=True):
    """Which streams the client asked for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """kubelet's names (`input`, `output`, `error`) and the API's."""

        def flag(*names: str) -> bool:
            return any(query.get(name) in ("1", "true") for name in names)

        tty = flag("tty")
        # With a terminal there is one output; who asks for both gets it as stdout.
        return cls(flag("input", "stdin"), flag("output", "stdout"), flag("error", "stderr") and not tty, tty)


class Remote(Protocol):
    """The client, over one of the protocols."""

    async def receive(self) -> Event | None:
        """What it says next; None when it is gone."""
        ...

    async def send(self, channel: int, data: bytes) -> None: ...

    async def finish(self, status: Obj) -> None:
        """The last word, then the connection ends."""
        ...


async def serve(session: ExecSession, remote: Remote, wanted: Wanted, *, report_exit: bool) -> None:
    """Copy both ways until the command ends or the client goes; what it said before its end comes whole, however slow the
    client is. Closes the session.

    `report_exit`: exec tells the exit code; attach only that the streams are over.
    """
    outputs = [
        _Output(fd, remote, channel if is_wanted else None)
        for fd, channel, is_wanted in (
            (session.stdout, STDOUT, wanted.stdout),
            (session.stderr, STDERR, wanted.stderr),
        )
        if fd is not None
    ]
    inbound = asyncio.create_task(_inbound(session, remote, wanted), name="remote command input")
    outbound = asyncio.create_task(_outbound(outputs), name="remote command output")
    ended = asyncio.create_task(session.wait(), name="remote command")
    try:
        await asyncio.wait((inbound, ended), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            owed = [output.written() for output in outputs]
            while not (outbound.done() or inbound.done()):
                await asyncio.wait((outbound, inbound), timeout=DRAIN_SECONDS)
                if all(output.passed >= written for output, written in zip(outputs, owed, strict=True)):
                    break
            await remote.finish(exit_status(ended.result()) if report_exit else success())
    except (ConnectionError, BrokenPipeError):
        pass  # the client has gone: nobody is left to tell
    finally:
        for task in (inbound, outbound, ended):
            task.cancel()
        try:
            await asyncio.gather(inbound, outbound, ended, return_exceptions=True)
        finally:  # the client's leaving may cancel us even here
            session.close()


async def _inbound(session: ExecSession, remote: Remote, wanted: Wanted) -> None:
    """Returns when the client is gone."""
    while True:
        event = await remote.receive()
        if event is None:
            return
        if isinstance(event, Resized):
            if wanted.tty:
                session.resize(event.columns, event.rows)
        elif isinstance(event, InputClosed):
            session.close_stdin()
        elif isinstance(event, Input) and wanted.stdin:
            await _feed(session, event.data)


async def _feed(session: ExecSession, data: bytes) -> None:
    if session.stdin is None:
        return
    try:
        if isinstance(session.stdin, int):
            await descriptors.write(session.stdin, data)
        else:
            await asyncio.get_running_loop().sock_sendall(session.stdin, data)
    except OSError:
        pass  # the command has closed its input; its output is still of interest


class _Output:
    """One output of the command on its way to the client; what nobody asked for (no channel) is read all the same, else the
    command would block on it."""

    def __init__(self, fd: int, remote: Remote, channel: int | None) -> None:
        self._fd = fd
        self._remote = remote
        self._channel = channel
        self._read = 0
        self.passed = 0

    def written(self) -> int:
        """How many bytes it has been given, read or not."""
        (waiting,) = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)))
        return self._read + int(waiting)

    async def copy(self) -> None:
        """To the end."""
        while data := await descriptors.read(self._fd):
            self._read += len(data)
            if self._channel is not None:
                await self._remote.send(self._channel, data)
            self.passed = self._read


async def _outbound(outputs: list[_Output]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for output in outputs:
            tasks.create_task(output.copy())
