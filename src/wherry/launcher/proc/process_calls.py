"""Limits, priorities and processors of another process, which may be set by whoever runs as the same user: a CPU time limit of
nothing ends it. Here only by processes of the same pod.

Who is asked for is a number in a register, so what was looked at is what the kernel changes.
"""

from __future__ import annotations

import errno

from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.outcomes import Refusal
from wherry.launcher.proc.static_rules import PROCESSES, WHOLE_USER

INIT = "wherry-pod"
"""What inits of pods are called (pod.py)."""
GENERATIONS_MAX = 256
"""A chain of parents; what is further below its init is nobody's."""
_NAMES = {number: name for name, number in PROCESSES.items()}


class ProcessCalls:
    """`handlers` by number. They raise Refusal and answer unless they raise."""

    def __init__(self) -> None:
        self.handlers = dict.fromkeys(_NAMES, _change)


def _change(caller: Caller, guest: Guest) -> None:
    del guest
    name = _NAMES[caller.number]
    first, second = (value & 0xFFFFFFFF for value in caller.arguments[:2])
    if WHOLE_USER.get(name) == first:
        raise Refusal(errno.EPERM)
    own, other = init_of(caller.thread), init_of(second if name in WHOLE_USER else first)
    if other is None:
        raise Refusal(errno.ESRCH)
    if not own or own != other:
        raise Refusal(errno.EPERM)
    caller.check()
    caller.proceed()


def init_of(number: int) -> int | None:
    """The init of a thread's pod: the outermost of its ancestors of that name, which no pod can give to what is above it. 0: it
    has none; None: there is no such thread."""
    found, at = 0, number
    for _ in range(GENERATIONS_MAX):
        try:
            with open(f"/proc/{at}/stat", "rb") as file:
                head, _, fields = file.read().rpartition(b")")
        except (OSError, ValueError):
            return None if at == number else found
        if head.partition(b"(")[2] == INIT.encode():
            found = at
        at = int(fields.split()[1])
        if at <= 1:
            return found
    return 0
