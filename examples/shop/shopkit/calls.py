"""Calls to other services: one second each, repeated only where repeating is safe, given up early when the other is down."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import httpx

CALL_SECONDS = 1.0
ATTEMPTS = 3
FAILURES_TO_OPEN = 5
OPEN_SECONDS = 1.0


class Unavailable(Exception):
    """The other service does not answer, or answers that it cannot now."""


class Service:
    """One other service. Every call is idempotent by its key or its method, so that it may be repeated."""

    def __init__(self, name: str, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.name = name
        limits = httpx.Limits(max_connections=100, keepalive_expiry=2)  # less than any server's own idle time
        self._client = httpx.AsyncClient(base_url=url, timeout=CALL_SECONDS, limits=limits, transport=transport)
        self._failures, self._open_until = 0, 0.0

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer, whatever its status below 500. Raises Unavailable."""
        if time.monotonic() < self._open_until:
            raise Unavailable(f"{self.name} failed {FAILURES_TO_OPEN} times in a row and is left alone for a moment")
        for attempt in range(ATTEMPTS):
            try:
                answer = await self._client.request(method, path, **options)
                if answer.status_code < 500:
                    self._failures = 0
                    return answer
                problem = f"{self.name} answered {answer.status_code}"
            except httpx.TransportError as error:
                problem = f"{self.name}: {type(error).__name__}"
            self._note_failure()
            if attempt < ATTEMPTS - 1:
                await asyncio.sleep(random.uniform(0.02, 0.08) * 2**attempt)  # jitter: callers must not march in step
        raise Unavailable(problem)

    async def close(self) -> None:
        await self._client.aclose()

    def _note_failure(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            self._open_until, self._failures = time.monotonic() + OPEN_SECONDS, 0
