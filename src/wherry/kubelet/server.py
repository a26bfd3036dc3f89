"""The kubelet's HTTP server on a unix socket; `handlers` says what it answers.

Whoever can open the socket is trusted (mode 0600, the API server has authorized already). aiohttp, a tenth of a second and
ten megabytes, is loaded when somebody asks: many a node is never asked for a log.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from wherry.aio import authorities
from wherry.kubelet.parts import Parts
from wherry.kubelet.pod_workers import PodWorkers
from wherry.kubelet.scraping import Scraper
from wherry.kubelet.stats import Stats
from wherry.launcher.protocol import unix_address

STOP_SECONDS = 0.2  # streams end with the agent; kubectl sees the connection close
BACKLOG = 128


class KubeletServer:
    def __init__(self, parts: Parts, workers: PodWorkers, stats: Stats, scraper: Scraper) -> None:
        self._parts = parts
        self._workers = workers
        self._stats = stats
        self._scraper = scraper

    async def run(self) -> None:
        """Serve until cancelled."""
        listener = _listen(self._parts.config.socket)
        try:
            await _called(listener)
            await self._serve(listener)
        finally:
            listener.close()

    async def _serve(self, listener: socket.socket) -> None:
        with authorities.none_read():
            from aiohttp import web

            from wherry.kubelet.handlers import KubeletHandlers

        handlers = KubeletHandlers(self._parts, self._workers, self._stats, self._scraper)
        runner = web.AppRunner(
            handlers.application(),
            access_log=None,
            shutdown_timeout=STOP_SECONDS,
            handle_signals=False,
            handler_cancellation=True,  # a follower of a quiet log would never notice that its client is gone
        )
        await runner.setup()
        try:
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


async def _called(listener: socket.socket) -> None:
    """Until a connection waits to be accepted."""
    loop, called = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(listener, called.set)
    try:
        await called.wait()
    finally:
        loop.remove_reader(listener)


def _listen(path: Path) -> socket.socket:
    """A fresh socket at `path`, only for its owner; what a killed predecessor left there is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(unix_address(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
