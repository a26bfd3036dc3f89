"""What a kubelet answers: the paths of the real one that the API server proxies to. Plain answers here; what upgrades the
connection or streams lies in `streaming`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from aiohttp import web

from wherry.api.exposition import MEDIA_TYPE
from wherry.api.types import Obj
from wherry.kubelet import metrics
from wherry.kubelet.parts import Parts
from wherry.kubelet.pod_workers import PodWorkers
from wherry.kubelet.scraping import Scraper
from wherry.kubelet.stats import Stats
from wherry.kubelet.streaming.handlers import StreamingHandlers

_METRICS: Mapping[str, Callable[[Obj, Sequence[Obj]], bytes]] = {
    "/metrics": metrics.kubelet,
    "/metrics/resource": metrics.resource,
    "/metrics/cadvisor": metrics.cadvisor,
}


class KubeletHandlers:
    def __init__(self, parts: Parts, workers: PodWorkers, stats: Stats, scraper: Scraper) -> None:
        self._workers = workers
        self._stats = stats
        self._scraper = scraper
        self._streaming = StreamingHandlers(parts, workers)

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
