"""What one try of a probe came to."""

from __future__ import annotations

import errno
import os
from enum import Enum

from msgspec import Struct

OUTPUT_BYTES_MAX = 10 * 1024  # kubelet keeps as much of a probe's answer


class Result(Enum):
    SUCCESS = "success"
    WARNING = "warning"
    """Counts as success, with an event."""
    FAILURE = "failure"


class Outcome(Struct, frozen=True):
    result: Result
    output: str = ""

    @property
    def ok(self) -> bool:
        return self.result is not Result.FAILURE


def failure(output: str) -> Outcome:
    return Outcome(Result.FAILURE, output)


def success(output: str = "") -> Outcome:
    return Outcome(Result.SUCCESS, output)


def dial_error(host: str, port: int, error: OSError) -> str:
    """Go's text for a connection that failed: `dial tcp 10.244.0.5:80: connect: connection refused`."""
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return f"dial tcp {host}:{port}: i/o timeout"
    text = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"dial tcp {host}:{port}: connect: {text}"
