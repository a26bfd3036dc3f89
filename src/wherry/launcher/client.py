"""The launcher as asyncio sees it: many concurrent calls and a stream of events over one connection.

Used by the node agent, netd, the control plane and the image builder; never imported by the launcher itself.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from wherry.launcher import protocol
from wherry.launcher.protocol import LauncherError, Message

__all__ = ["LauncherClient", "LauncherError", "Reply"]

EVENTS_MAX = 8192  # a reader further behind than this has to list again


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. The descriptors are the caller's, close-on-exec."""

    args: dict[str, Any] = field(default_factory=dict)
    fds: list[int] = field(default_factory=list)


class LauncherClient:
    """One connection. `call` raises LauncherError for what the launcher refused and ConnectionError when it is gone."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.closed = asyncio.Event()
        self._sock: socket.socket | None = None
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._unsent: deque[tuple[bytes, list[int]]] = deque()
        self._streams: set[asyncio.Queue[dict[str, Any] | None]] = set()

    async def connect(self) -> None:
        """Raises OSError (FileNotFoundError, ConnectionRefusedError) while no launcher listens there."""
        assert self._sock is None, "a client connects once; make another one"
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.setblocking(False)
        try:
            # Not loop.sock_connect, which insists on SOCK_STREAM; a Unix connect either succeeds at once or is refused.
            sock.connect(protocol.unix_address(self.path))
        except BaseException:
            sock.close()
            raise
        self._sock = sock
        asyncio.get_running_loop().add_reader(sock, self._readable)

    async def call(self, op: str, /, fds: Sequence[int] = (), **args: Any) -> Reply:
        """Ask and wait for the answer. `fds` stay the caller's and may be closed once this returns."""
        if self._sock is None or self.closed.is_set():
            raise ConnectionError(f"not connected to the launcher at {self.path}")
        number = next(self._ids)
        packet, _ = protocol.encode({"id": number, "op": op, "args": args}, fds)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        try:
            self._send(packet, fds)
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:  # it came in the same moment
                protocol.close_fds(future.result().fds)
            raise
        finally:
            self._pending.pop(number, None)

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Everything that happens from the first `__anext__` on. Raises ConnectionError when the launcher is gone."""
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._streams.add(queue)
        try:
            await self.call("events.subscribe")
            while True:
                event = await queue.get()
                if event is None:
                    raise ConnectionError(f"the launcher at {self.path} is gone")
                yield event
        finally:
            self._streams.discard(queue)

    async def wait_closed(self) -> None:
        """Returns once the connection has ended, whoever ended it."""
        await self.closed.wait()

    def close(self) -> None:
        """End the connection; calls that wait raise ConnectionError. Idempotent."""
        if self._sock is not None and not self.closed.is_set():
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._sock)
            loop.remove_writer(self._sock)
            self._sock.close()
        self.closed.set()
        for _, fds in self._unsent:
            protocol.close_fds(fds)
        self._unsent.clear()
        for future in self._pending.values():
            if not future.done():
                future.set_exception(ConnectionError(f"the launcher at {self.path} is gone"))
        for queue in self._streams:
            queue.put_nowait(None)

    def _send(self, packet: bytes, fds: Sequence[int]) -> None:
        assert self._sock is not None
        if not self._unsent:
            try:
                protocol.send_packet(self._sock, packet, fds)
            except BlockingIOError:
                pass
            except OSError as error:
                self.close()
                raise ConnectionError(f"the launcher at {self.path} is gone: {error.strerror}") from error
            else:
                return
        self._unsent.append((packet, [os.dup(fd) for fd in fds]))
        asyncio.get_running_loop().add_writer(self._sock, self._writable)

    def _writable(self) -> None:
        assert self._sock is not None
        while self._unsent:
            packet, fds = self._unsent[0]
            try:
                protocol.send_packet(self._sock, packet, fds)
            except BlockingIOError:
                return
            except OSError:
                self.close()
                return
            self._unsent.popleft()
            protocol.close_fds(fds)
        asyncio.get_running_loop().remove_writer(self._sock)

    def _readable(self) -> None:
        assert self._sock is not None
        for _ in range(64):  # then let others run
            try:
                received = protocol.receive(self._sock)
            except BlockingIOError:
                return
            except OSError:
                received = None
            if received is None:
                self.close()
                return
            self._take(*received)

    def _take(self, message: Message, fds: list[int]) -> None:
        if "event" in message:
            protocol.close_fds(fds)
            for queue in self._streams:
                if queue.qsize() >= EVENTS_MAX:
                    self.close()
                    return
                queue.put_nowait(message["event"])
            return
        future = self._pending.get(message.get("id", 0))
        if future is None or future.done():  # the caller was cancelled
            protocol.close_fds(fds)
        elif "error" in message:
            protocol.close_fds(fds)
            future.set_exception(LauncherError(message["error"]["reason"], message["error"]["message"]))
        else:
            future.set_result(Reply(message.get("ok", {}), fds))
