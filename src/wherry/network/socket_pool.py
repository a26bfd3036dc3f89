"""Fresh sockets of the node's network namespace, ahead of need: only the launcher can make them, 200 at a time.

Always true: `take` never waits; when few are left more are on their way.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable

from wherry.launcher.client import LauncherClient

SIZE = 128
"""A burst of as many connections is served without asking the launcher in between."""
REFILL_BELOW = 64


class SocketPool:
    """Non-blocking TCP sockets, unconnected."""

    def __init__(self, launcher: LauncherClient) -> None:
        self._launcher = launcher
        self._sockets: deque[socket.socket] = deque()
        self._wanted = asyncio.Event()
        self._wanted.set()
        self.on_filled: Callable[[], None] | None = None
        """Called when there are sockets again."""

    def __len__(self) -> int:
        return len(self._sockets)

    def take(self) -> socket.socket | None:
        if len(self._sockets) <= REFILL_BELOW:
            self._wanted.set()
        return self._sockets.popleft() if self._sockets else None

    async def run(self) -> None:
        """Keep it filled until cancelled, or the launcher is gone (ConnectionError)."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                missing = SIZE - len(self._sockets)
                reply = await self._launcher.call("node.sockets", count=missing)
                self._sockets.extend(socket.socket(fileno=fd) for fd in reply.fds)
                if self.on_filled is not None:
                    self.on_filled()
        finally:
            while self._sockets:
                self._sockets.popleft().close()
