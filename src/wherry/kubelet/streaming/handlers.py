"""Routes of everything that streams."""

from __future__ import annotations

from aiohttp import web

from wherry.kubelet.parts import Parts
from wherry.kubelet.pod_workers import PodWorkers


class StreamingHandlers:
    def __init__(self, parts: Parts, workers: PodWorkers) -> None:
        self._parts = parts
        self._workers = workers

    def add_routes(self, app: web.Application) -> None:
        """All of them."""
