"""What readlink(2) says of the kernel's own links in /proc, to a container whose image has a root of its own: the names that it
knows, in the place of the real ones.

A program asks there for its own file, a C library for the path of a descriptor, start-stop-daemon for what another one runs.
"""

from __future__ import annotations

import os
import re

from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.guest import Guest

_LINK = re.compile(rb"^/proc/(self|thread-self|\d+)(?:/task/\d+)?/(exe|cwd|root|fd/\d+)$")
_GONE = b" (deleted)"


def text(caller: Caller, guest: Guest, name: bytes) -> bytes | None:
    """What an absolute path's link says; None: as the kernel says it. Raises GoneError."""
    found = _LINK.match(name) if guest.paths.root is not None else None
    if found is None:
        return None
    process = caller.thread if found[1] in (b"self", b"thread-self") else int(found[1])
    try:
        real = os.readlink(b"/proc/%d/%s" % (process, found[2]))
    except OSError:
        return None
    caller.check()
    if found[2] == b"root":
        return b"/"
    shown = guest.shown(real.removesuffix(_GONE))
    return None if shown is None else shown + (_GONE if real.endswith(_GONE) else b"")
