"""The frame of an API service: life cycle, health, information, and logs of every request."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from shopkit import logs
from shopkit.database import Database
from shopkit.events import Events
from shopkit.settings import POD, SERVICE, VERSION

QUIET = ("/livez", "/readyz")


def create(
    title: str,
    database: Database | None = None,
    events: Events | None = None,
    tasks: list[Callable[[], Coroutine[Any, Any, None]]] | None = None,
) -> FastAPI:
    """An application with /livez, /readyz, /info and its OpenAPI document; `tasks` run as long as it does."""
    log = logs.configure()
    work = [*([events.run] if events else []), *(tasks or [])]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = [asyncio.create_task(item()) for item in work]
        for task in running:
            task.add_done_callback(_end_with)
        log.info("started")
        yield
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if database:
            database.close()

    app = FastAPI(title=title, version=VERSION, lifespan=lifespan)

    @app.middleware("http")
    async def logged(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        begin = time.perf_counter()
        answer = await call(request)
        if request.url.path not in QUIET:
            row = {"status": answer.status_code, "ms": round((time.perf_counter() - begin) * 1000, 1)}
            log.info("%s %s", request.method, request.url.path, extra={"data": row})
        return answer

    @app.get("/livez", include_in_schema=False)
    async def livez() -> dict[str, str]:
        return {"status": "ok"}  # alive is not ready: a database that is away is no reason to be restarted

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        # The broker is told but not required: the outbox keeps events until it is back, so the service can serve.
        found = {"broker": "connected" if events and events.connected.is_set() else "not connected"} if events else {}
        try:
            if database:
                await database.check()
        except sqlite3.Error as error:
            return JSONResponse({**found, "database": str(error)}, 503)
        return JSONResponse({**found, "status": "ready"})

    @app.get("/info", include_in_schema=False)
    async def info() -> dict[str, str]:
        return {"service": SERVICE, "version": VERSION, "pod": POD, "node": os.environ.get("NODE_NAME", "")}

    return app


def _end_with(task: asyncio.Task[None]) -> None:
    """A background task never ends by itself: end the process, its restart policy starts it afresh."""
    if not task.cancelled():
        logging.getLogger(SERVICE).critical("a background task ended", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)


def serve(app: FastAPI) -> None:
    """Listen on PORT until SIGTERM; requests under way are finished."""
    import uvicorn

    uvicorn.run(
        app,
        host="0.0.0.0",
        port=int(os.environ.get("PORT", "8000")),
        log_config=None,
        access_log=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
    )
