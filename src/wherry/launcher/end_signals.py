"""How the outermost process of a node ends: asked once it lets the pods end, asked again or after the grace it kills.

Is: the handlers of SIGTERM, SIGINT and SIGALRM, for both ways a node is held. Is not: the end of the containers (ending.py).
"""

from __future__ import annotations

import signal
from collections.abc import Callable

ASKING = (signal.SIGTERM, signal.SIGINT)


def on_request(grace: int, ask: Callable[[], object], kill: Callable[..., object]) -> list[bool]:
    """`ask` at the first signal, `kill` at the second or `grace` seconds after it, at once when that is 0. The answer is
    empty until the first one came."""
    asked: list[bool] = []

    def end(*_: object) -> None:
        asked.append(True)
        for number in (*ASKING, signal.SIGALRM):
            signal.signal(number, kill)
        if grace == 0:
            kill()
            return
        signal.alarm(grace)
        ask()

    for number in ASKING:
        signal.signal(number, end)
    return asked
