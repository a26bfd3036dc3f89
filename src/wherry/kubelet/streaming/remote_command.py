"""exec and attach: bytes between a client and an `ExecSession`, whatever protocol the client speaks."""

from __future__ import annotations

import asyncio
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
"""How long output may trail the end of a command: a child it left behind may hold the pipe for ever."""


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
    """Copy both ways until the command ends or the client goes. Closes the session.

    `report_exit`: exec tells the exit code; attach only that the streams are over.
    """
    inbound = asyncio.create_task(_inbound(session, remote, wanted), name="remote command input")
    outbound = asyncio.create_task(_outbound(session, remote, wanted), name="remote command output")
    ended = asyncio.create_task(session.wait(), name="remote command")
    try:
        await asyncio.wait((inbound, ended), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            await asyncio.wait((outbound,), timeout=DRAIN_SECONDS)
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


async def _outbound(session: ExecSession, remote: Remote, wanted: Wanted) -> None:
    async with asyncio.TaskGroup() as tasks:
        if session.stdout is not None:
            tasks.create_task(_copy(session.stdout, remote, STDOUT if wanted.stdout else None))
        if session.stderr is not None:
            tasks.create_task(_copy(session.stderr, remote, STDERR if wanted.stderr else None))


async def _copy(fd: int, remote: Remote, channel: int | None) -> None:
    """To the end; what nobody asked for is read all the same, else the command would block on it."""
    while data := await descriptors.read(fd):
        if channel is not None:
            await remote.send(channel, data)
