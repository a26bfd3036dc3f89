"""Logs are a stream: one JSON object a line on standard output. What could be a card number never gets there."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

from shopkit.settings import POD, SERVICE, VERSION

NUMBER = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")


def without_cards(text: str) -> str:
    """What has the length and the check digit (Luhn) of a card number is left out, wherever it stands."""
    return NUMBER.sub(lambda found: "[card]" if _is_card(found[0]) else found[0], text)


def _safe(value: object) -> object:
    text = str(value)
    cleaned = without_cards(text)
    return value if cleaned == text else cleaned


def _is_card(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number) if digit.isdigit()]
    return sum(digits[::2] + [digit * 2 - 9 * (digit > 4) for digit in digits[1::2]]) % 10 == 0


class JsonLines(logging.Formatter):
    """time, level, service, version, pod, message and whatever `extra={"data": {...}}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        row = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": SERVICE,
            "version": VERSION,
            "pod": POD,
            "message": record.getMessage(),
        }
        row.update(getattr(record, "data", {}))
        if record.exc_info:
            row["error"] = self.formatException(record.exc_info)
        return json.dumps({key: _safe(value) for key, value in row.items()}, ensure_ascii=False, default=str)


def configure() -> logging.Logger:
    """Send everything, also what frameworks log, through JsonLines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "uvicorn.access", "nats"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return logging.getLogger(SERVICE)
