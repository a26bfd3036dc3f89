"""The kubelet's HTTP server on a unix socket: the paths of the real one that the API server proxies to.

Whoever can open the socket is trusted (mode 0600, the API server has authorized already). Plain answers here; what upgrades
the connection or streams lies in `streaming`.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from aiohttp import web

from wherry.api.exposition import MEDIA_TYPE
from wherry.api.types import Obj
from wherry.kubelet import metrics
from wherry.kubelet.parts import Parts
from wherry.kubelet.pod_workers import PodWorkers
from wherry.kubelet.scraping import Scraper
from wherry.kubelet.stats import Stats
from wherry.kubelet.streaming.handlers import StreamingHandlers
from wherry.launcher.protocol import unix_address

STOP_SECONDS = 0.2  # streams end with the agent; kubectl sees the connection close
BACKLOG = 128
_METRICS: Mapping[str, Callable[[Obj, Sequence[Obj]], bytes]] = {
    "/metrics": metrics.kubelet,
    "/metrics/resource": metrics.resource,
    "/metrics/cadvisor": metrics.cadvisor,
}


class KubeletServer:
    def __init__(self, parts: Parts, workers: PodWorkers, stats: Stats, scraper: Scraper) -> None:
        self._parts = parts
        self._workers = workers
        self._stats = stats
        self._scraper = scraper
        self._streaming = StreamingHandlers(parts, workers)

    async def run(self) -> None:
        """Serve until cancelled."""
        runner = web.AppRunner(
            self.application(),
            access_log=None,
            shutdown_timeout=STOP_SECONDS,
            handle_signals=False,
            handler_cancellation=True,  # a follower of a quiet log would never notice that its client is gone
        )
        await runner.setup()
        listener = _listen(self._parts.config.socket)
        try:
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()
            listener.close()

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/pods", self._pods)
        app.router.add_get("/stats/summary", self._summary)
        app.router.add_get("/stats/metrics", self._scraped)
        for path, form in _METRICS.items():
            app.router.add_get(path, partial(self._measured, form))
        self._streaming.add_routes(app)
        return app

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _pods(self, request: web.Request) -> web.Response:
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": self._workers.pods()})

    async def _measured(self, form: Callable[[Obj, Sequence[Obj]], bytes], request: web.Request) -> web.Response:
        try:
            body = form(await self._stats.summary(), self._workers.pods())
        except ConnectionError as error:
            return web.Response(status=503, text=f"container runtime is away: {error}")
        return web.Response(body=body, headers={"Content-Type": MEDIA_TYPE})

    async def _scraped(self, request: web.Request) -> web.Response:
        """What applications say of themselves; a path of our own, for custom.metrics.k8s.io."""
        return _json(await self._scraper.summary())

    async def _summary(self, request: web.Request) -> web.Response:
        try:
            return _json(await self._stats.summary())
        except ConnectionError as error:
            return web.Response(status=503, text=f"container runtime is away: {error}")


def _json(value: object) -> web.Response:
    return web.Response(text=json.dumps(value), content_type="application/json")


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
