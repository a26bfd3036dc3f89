"""The server's end of the shims: what the one that answers must know, kept for the next one.

Always true: a listener of notifications has a duplicate here, so that calls wait while a killed shim's place is taken.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from wherry.launcher.connection import Connection
from wherry.launcher.loop import GONE, Loop
from wherry.launcher.protocol import LauncherError, Message

Notice = Callable[[Message], None]


class Shims:
    """`controls` lead to the shims, the innermost last; it is the one that answers."""

    def __init__(self, loop: Loop, controls: list[socket.socket], notice: Notice) -> None:
        self._loop = loop
        self._notice = notice
        self._guests: dict[int, Message] = {}
        self._services: dict[str, Any] = {}
        self._range = ""
        self._detours: list[Any] = []
        self._connections = [Connection(loop, sock, self._heard, self._gone) for sock in controls]

    def enter(self, guest: Message, listener: int) -> None:
        """A container's listener, ours from now on."""
        self._guests[listener] = guest
        self._loop.watch(listener, 0, lambda events: self._over(listener, events))  # hang-ups are always told
        self._tell({"op": "guest", **guest, "again": False}, [listener])

    def _over(self, listener: int, events: int) -> None:
        if events & GONE:
            self._loop.unwatch(listener)
            del self._guests[listener]
            os.close(listener)

    def change(self, services: dict[str, Any], service_range: str, *, replace: bool) -> None:
        """What addresses of Services lead to from now on. Raises LauncherError without a shim."""
        if not self._connections:
            raise LauncherError("Unsupported", "no shim is left")
        merged = services if replace else {**self._services, **services}
        self._services = {key: entries for key, entries in merged.items() if entries is not None}
        self._range = service_range
        self._tell({"op": "services", "replace": replace, "range": service_range, "services": services}, [])

    def lead(self, detours: list[Any]) -> None:
        """By these detours from now on, and by no others."""
        self._detours = detours
        self._tell({"op": "detours", "detours": detours}, [])

    def _tell(self, message: Message, fds: list[int]) -> None:
        if self._connections:
            self._connections[-1].send(message, fds)

    def _heard(self, _: Connection, message: Message, fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)
        self._notice(message)

    def _gone(self, connection: Connection) -> None:
        """One was killed: if it was the one that answers, the next one does, and hears all of it again."""
        answered = self._connections[-1] is connection
        self._connections.remove(connection)
        if not self._connections:
            print("launcher: the last shim was killed: the node ends", file=sys.stderr, flush=True)
            self._loop.stop()
        elif answered:
            if self._range:
                message = {"op": "services", "replace": True, "range": self._range, "services": self._services}
                self._tell(message, [])
            self._tell({"op": "detours", "detours": self._detours}, [])
            for listener, guest in list(self._guests.items()):
                self._tell({"op": "guest", **guest, "again": True}, [listener])
