"""WSGI applications under waitress that leave as they came: SIGTERM makes every answer the last on its connection.

In a container we are process 1, to which a signal without a handler does nothing: without this the end would be a kill,
with whatever is being answered then.
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import WSGITask

from shopkit.settings import setting

LEAVING_SECONDS = 3  # long enough for every visitor's next request, which is told to come elsewhere afterwards
_leaving = threading.Event()


class _Task(WSGITask):
    def build_response_header(self) -> bytes:
        if _leaving.is_set():
            self.set_close_on_finish()
        header: bytes = super().build_response_header()
        return header


class _Channel(HTTPChannel):
    task_class = _Task


def serve(app: Any, threads: int) -> None:
    """Listen on PORT until SIGTERM."""

    def leave(*_: object) -> None:
        _leaving.set()
        signal.alarm(LEAVING_SECONDS)

    server = create_server(app, host="0.0.0.0", port=int(setting("PORT", "8000")), threads=threads, channel_timeout=30)
    server.channel_class = _Channel
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(0))
    server.run()
