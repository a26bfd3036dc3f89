"""A number for a new socket for datagrams: one that the filter knows them by, and that its process does not use.

A process may have as many descriptors as it likes: no more of them are looked at than numbers that sockets may get.
"""

from __future__ import annotations

import os

from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.notify import WINDOW
from wherry.launcher.proc.outcomes import GoneError

_TRIES = 8  # numbers looked at one by one before they are listed


def free_number(caller: Caller) -> int | None:
    """In the window, for a descriptor of the caller's; None when all are taken."""
    first, end = WINDOW
    for number in range(first, first + _TRIES):
        if not os.path.lexists(f"/proc/{caller.thread}/fd/{number}"):
            return number
    taken = set()
    try:
        with os.scandir(f"/proc/{caller.thread}/fd") as entries:
            for entry in entries:  # in order: no more than the window's end are looked at
                taken.add(int(entry.name))
                if int(entry.name) >= end:
                    break
    except OSError as error:
        raise GoneError from error
    return next((number for number in range(first, end) if number not in taken), None)
