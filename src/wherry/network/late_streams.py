"""A door before a TCP port in tier `proc`: connections are carried on, each direction as late as faults say.

What is sent while pods are parted waits until they are joined again, as TCP's packets that are sent again do; a connection that
is made meanwhile is taken, and gets no answer.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from wherry.aio.clock import Clock
from wherry.chaos.between import Between, Pair, hold
from wherry.chaos.kept import LOOK_SECONDS
from wherry.launcher.proc.ports import Place
from wherry.network.late_door import listening, onward, there

CONNECTIONS_MAX = 1000
"""Through one door at a time; others wait in its backlog."""
PIECE_BYTES = 64 * 1024
PIECES_MAX = 64
"""Held in one direction of a connection; then its sender waits."""
_BACKLOG = 1024
_RESET = struct.pack("ii", 1, 0)


class StreamDoor:
    """Before `behind`, which is port of the pod `ip`. Raises OSError."""

    def __init__(self, behind: Place, ip: str, between: Between, clock: Clock) -> None:
        self._behind = behind
        self._ip = ip
        self._between = between
        self._clock = clock
        self._sock = listening(behind, socket.SOCK_STREAM)
        self._sock.listen(_BACKLOG)
        self.place: Place = self._sock.getsockname()
        self._closed = asyncio.Event()

    async def run(self) -> None:
        """Until it is closed and the last connection has ended."""
        room = asyncio.Semaphore(CONNECTIONS_MAX)
        async with asyncio.TaskGroup() as group:
            accepting = group.create_task(self._accept(group, room))
            await self._closed.wait()
            accepting.cancel()

    def close(self) -> None:
        self._closed.set()

    def leave(self) -> None:
        """Once `run` has ended, or was never begun."""
        self._sock.close()

    async def _accept(self, group: asyncio.TaskGroup, room: asyncio.Semaphore) -> None:
        with self._sock:
            while True:
                await room.acquire()
                try:
                    client, caller = await asyncio.get_running_loop().sock_accept(self._sock)
                except OSError:  # it hung up before, or no descriptor is left
                    room.release()
                    await self._clock.sleep(LOOK_SECONDS)
                    continue
                group.create_task(self._carry(client, caller[0])).add_done_callback(lambda _: room.release())

    async def _carry(self, client: socket.socket, caller: str) -> None:
        client.setblocking(False)
        with client:
            pair = there(self._between, caller, self._behind, self._ip)
            back = pair[::-1]
            try:
                await self._clock.sleep(await self._passage(pair))
                with onward(socket.SOCK_STREAM, caller, self._behind) as server:
                    await asyncio.get_running_loop().sock_connect(server, self._behind)
                    await self._clock.sleep(await self._passage(back))
                    try:
                        async with asyncio.TaskGroup() as both:
                            both.create_task(self._pump(client, server, pair))
                            both.create_task(self._pump(server, client, back))
                    except BaseExceptionGroup:
                        _reset(server)
                        raise
            except (OSError, BaseExceptionGroup) as error:
                _reset(client)
                if not _is_an_end(error):
                    raise

    async def _pump(self, source: socket.socket, sink: socket.socket, pair: Pair) -> None:
        """Until `source` has said its last word."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(PIECES_MAX)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take(source, held, pair))
            group.create_task(self._give(sink, held))

    async def _take(self, source: socket.socket, held: asyncio.Queue[tuple[float, bytes]], pair: Pair) -> None:
        data, due = b".", 0.0
        while data:
            data = await asyncio.get_running_loop().sock_recv(source, PIECE_BYTES)
            due = max(due, self._clock.monotonic() + await self._passage(pair))
            await held.put((due, data))

    async def _give(self, sink: socket.socket, held: asyncio.Queue[tuple[float, bytes]]) -> None:
        while True:
            due, data = await held.get()
            pause = due - self._clock.monotonic()
            if pause > 0:
                await self._clock.sleep(pause)
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            await asyncio.get_running_loop().sock_sendall(sink, data)

    async def _passage(self, pair: Pair) -> float:
        """Seconds that something is held; while the pods are parted it waits here."""
        while (seconds := hold(self._between.of(pair))) is None:
            await self._clock.sleep(LOOK_SECONDS)
        return seconds


def _reset(sock: socket.socket) -> None:
    """Its end is to be seen as one that was not meant to be."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError:
        return


def _is_an_end(error: BaseException) -> bool:
    """Whether one of the two has hung up, and nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_an_end, error.exceptions))
    return isinstance(error, OSError)
