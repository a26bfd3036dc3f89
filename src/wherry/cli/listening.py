"""Which ports of this machine one of our processes listens on: a node port may be somebody else's, and then its URL is not ours.

Read from /proc (proc(5): net/tcp, PID/fd), as the owner of the process or as root.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

LISTEN = "0A"


def ports(pid: int) -> set[int]:
    """Local TCP ports that process `pid` listens on; empty when it is gone."""
    inodes = _socket_inodes(pid)
    found: set[int] = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTEN and fields[9] in inodes:
                    found.add(int(fields[1].rsplit(":", 1)[1], 16))
    return found


def _socket_inodes(pid: int) -> set[str]:
    inodes: set[str] = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(entry.path)
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    return inodes
