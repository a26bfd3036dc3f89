"""What tests of the shop share: where it lies, what loads its services, and clients of them in this process.

What passes between services passes through their real HTTP applications; `Faulty` loses requests or answers on the way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx

SHOP = Path(__file__).parents[3] / "examples" / "shop"

Load = Callable[[str], Any]


def asgi(module: ModuleType) -> httpx.AsyncClient:
    """A client of a FastAPI service, without its background tasks."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=module.app), base_url="http://service")


class Faulty(httpx.AsyncBaseTransport):
    """Passes requests on, but for the next ones that `faults` names: refused, slow, lost (done, not answered), broken."""

    def __init__(self, module: ModuleType) -> None:
        self.faults: deque[str] = deque()
        self.calls = 0
        self._wsgi = httpx.WSGITransport(app=module.app) if module.__name__ == "payments.app" else None
        self._asgi = None if self._wsgi else httpx.ASGITransport(app=module.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        fault = self.faults.popleft() if self.faults else ""
        if fault == "refused":
            raise httpx.ConnectError("refused", request=request)
        if fault == "slow":
            raise httpx.ReadTimeout("slow", request=request)
        if fault == "broken":
            return httpx.Response(500, text="broken", request=request)
        answer = await self._answer(request)
        if fault == "lost":
            raise httpx.ReadError("lost", request=request)
        return answer

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if self._asgi:
            return await self._asgi.handle_async_request(request)
        assert self._wsgi is not None
        body = await request.aread()
        plain = httpx.Request(request.method, request.url, headers=request.headers, content=body)
        answer = self._wsgi.handle_request(plain)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.read())
