"""The server at the socket: what listens, and the connections there are. What happens on one is `connection.py`'s."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import ssl

from wherry.aio.clock import Clock
from wherry.api.times import http_date
from wherry.apiserver.app import App
from wherry.apiserver.connection import Connection
from wherry.apiserver.fast import FastPath

log = logging.getLogger(__name__)
SWEEP_SECONDS = 30
DESCRIPTORS_SPARE = 512
"""For files, and for what we call: webhooks, kubelets, aggregated APIs."""
STOP_SECONDS = 2.0
"""How long handlers may take to end once cancelled."""
BACKLOG = 1024
TRIM_AFTER = 1000
"""So many connections fewer are 50 MB that the C library would keep for a next time."""


class Edge:
    """Serves an App on any number of listening sockets."""

    def __init__(self, app: App, clock: Clock) -> None:
        self.app = app
        self.clock = clock
        self.fast = FastPath(app)
        self.connections: set[Connection] = set()
        self.exchanged = 0
        """Grows with everything that clients say, and that watchers are told."""
        self._servers: list[asyncio.Server] = []
        self._date = (0, b"")
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.connections_max = (
            max(soft if soft != resource.RLIM_INFINITY else 1 << 20, 2 * DESCRIPTORS_SPARE) - DESCRIPTORS_SPARE
        )
        self._refused = 0

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for one more; each costs a descriptor and some 50 KB."""
        if len(self.connections) >= self.connections_max:
            self._refused += 1
            return False
        self.connections.add(connection)
        return True

    async def listen(
        self, sock: socket.socket, context: ssl.SSLContext | None, handshake_seconds: float | None = None
    ) -> None:
        """Accept on a bound, listening socket from now on; without a context it is plain HTTP. `handshake_seconds`: how long
        TLS may take to begin, a minute if not said."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(self),
            sock=sock,
            ssl=context,
            backlog=BACKLOG,
            ssl_handshake_timeout=handshake_seconds if context is not None else None,
        )
        self._servers.append(server)

    async def run(self) -> None:
        """Look after the connections and the app until cancelled; then stop: nobody is waited for longer than
        `STOP_SECONDS`."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.app.run())
                group.create_task(self._look_after())
        finally:
            await self.stop()

    async def _look_after(self) -> None:
        most = 0
        while True:
            await self.clock.sleep(SWEEP_SECONDS)
            now = self.clock.monotonic()
            for connection in list(self.connections):
                connection.look_after(now)
            if most - len(self.connections) >= TRIM_AFTER:
                most = len(self.connections)
                _give_back_memory()
            most = max(most, len(self.connections))
            if self._refused:
                log.warning("%d connections refused: %d are open", self._refused, len(self.connections))
                self._refused = 0

    async def stop(self) -> None:
        self.app.health.shutting_down = True
        for server in self._servers:
            server.close()
        self._servers.clear()
        tasks = [task for task in (connection.abort() for connection in list(self.connections)) if task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)

    def date(self) -> bytes:
        """The value of the Date header, made once a second."""
        now = int(self.clock.time())
        if now != self._date[0]:
            self._date = (now, http_date(now).encode())
        return self._date[1]


def _give_back_memory() -> None:
    """Hand pages nobody uses back to the machine; a C library that cannot does nothing."""
    import ctypes  # a hundredth of a second of a start

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
