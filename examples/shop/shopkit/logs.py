"""Logs are a stream: one JSON object a line on standard output. What could be a card number never gets there."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

from shopkit.settings import POD, SERVICE, VERSION

CARD = re.compile(r"\b(?:\d[ -]?){12,19}\b")


class JsonLines(logging.Formatter):
    """time, level, service, version, pod, message and whatever `extra={"data": {...}}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        row = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": SERVICE,
            "version": VERSION,
            "pod": POD,
            "message": CARD.sub("[card]", record.getMessage()),
        }
        row.update(getattr(record, "data", {}))
        if record.exc_info:
            row["error"] = self.formatException(record.exc_info)
        return json.dumps(row, ensure_ascii=False, default=str)


def configure() -> logging.Logger:
    """Send everything, also what frameworks log, through JsonLines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "uvicorn.access", "nats"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return logging.getLogger(SERVICE)
