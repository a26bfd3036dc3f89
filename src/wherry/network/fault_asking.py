"""What whoever makes a fault of the network says to netd, and hears: without an event loop, for commands and tests."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from wherry.chaos.faults import LEASE_SECONDS
from wherry.network.netd_control import ask_netd

FOLLOW_SECONDS = 0.25
"""How often pods are asked for, and so how long a new one may go unharmed."""
MADE_SECONDS = LEASE_SECONDS - 1
"""After that nobody will make it: nobody has renewed it meanwhile."""


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
