"""What whoever makes a fault of the network says to netd, and hears: without an event loop, for commands and tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from wherry.chaos.faults import LEASE_SECONDS
from wherry.network.netd_control import ask_netd

FOLLOW_SECONDS = 0.25
"""How often pods are asked for, and so how long a new one may go unharmed."""
MADE_SECONDS = 3 * LEASE_SECONDS
"""After that nobody will make it, be the machine ever so busy."""
LOOK_SECONDS = 0.02


class NotMade(Exception):
    """netd says why it cannot be."""


def tell(netd: Path) -> None:
    """There is a fault in the folder. A netd that is just being restarted looks by itself."""
    with suppress(OSError):
        ask_netd(netd, "faults")


def is_made(netd: Path, name: str) -> bool:
    """Whether packets meet the fault by now. Raises NotMade."""
    try:
        answer = ask_netd(netd, "status")
    except OSError:
        return False
    if name in answer.refused:
        raise NotMade(answer.refused[name])
    return name in answer.made


def wait_made(netd: Path, name: str, renew: Callable[[], object], monotonic: Callable[[], float]) -> None:
    """Return once packets meet the fault, which `renew` lets hold until then. netd is told again and again: it looks for a moment
    after each word, and the machine may have stopped then. Raises NotMade."""
    pause, renew_at = threading.Event(), monotonic()
    end = renew_at + MADE_SECONDS
    while not is_made(netd, name):
        now = monotonic()
        if now > end:
            raise NotMade(f"netd does not make the fault within {MADE_SECONDS:g}s: `wherry status` shows what runs")
        if now >= renew_at:
            renew()
            tell(netd)
            renew_at = now + FOLLOW_SECONDS
        pause.wait(LOOK_SECONDS)
