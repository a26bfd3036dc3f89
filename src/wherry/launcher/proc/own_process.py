"""What a program writes into /proc about itself: its name, its order when memory ends, its user namespace.

Whoever runs as the same user may write there about others too, and as user 0 about the machine. Landlock knows directories, not
processes, so nobody writes into /proc (landlock.py), and the shim opens for a process what is its own. The process cannot be
another one by then: its directory is opened first.
"""

from __future__ import annotations

import errno
import os
import re

from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.outcomes import Refusal
from wherry.launcher.proc.paths import normal
from wherry.launcher.proc.process_calls import init_of

_OF_OTHERS = (b"oom_score_adj",)
"""Of processes of the same pod, which who started them sets."""
_NAMES = (
    b"autogroup", b"clear_refs", b"comm", b"coredump_filter", b"gid_map", b"mem", b"setgroups", b"timerslack_ns", b"uid_map",
    *_OF_OTHERS,
)  # fmt: skip
_PATH = re.compile(rb"/proc/(self|thread-self|\d+)(?:/task/(\d+))?/(" + b"|".join(_NAMES) + rb")")


def give(caller: Caller, name: bytes, flags: int) -> bool:
    """Answer an open of the absolute path `name`, for writing; False: it is nothing of the kind. Raises OSError, Refusal,
    GoneError."""
    found = _PATH.fullmatch(normal(name)) if name.startswith(b"/") else None
    if found is None:
        return False
    process = caller.thread if found[1] in (b"self", b"thread-self") else int(found[1])
    folder = os.open(f"/proc/{process}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not _is_own(caller, process) and (found[3] not in _OF_OTHERS or not _is_of_its_pod(caller, process)):
            raise Refusal(errno.EACCES)
        place = (b"task/%s/" % found[2] if found[2] else b"") + found[3]
        fd = os.open(place, flags & ~os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        caller.check()
        caller.give(fd, close_on_exec=bool(flags & os.O_CLOEXEC))
    finally:
        os.close(fd)
    return True


def _is_own(caller: Caller, process: int) -> bool:
    return process == caller.thread or os.path.exists(f"/proc/{process}/task/{caller.thread}")


def _is_of_its_pod(caller: Caller, process: int) -> bool:
    init = init_of(caller.thread)
    return bool(init) and init == init_of(process)
