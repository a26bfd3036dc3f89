"""Who is at the other end of a Unix socket: in tier `proc` a pod might reach the launcher's, which obeys whoever connects.

The shim refuses the path (unix_calls.py), but whoever races it may get through. The kernel's word is final: it keeps the number
of the process that connected, and every process of a pod is below the node's server for as long as it lives.
"""

from __future__ import annotations

import os
import socket
import struct

_CREDENTIALS = struct.Struct("=3i")
_GENERATIONS_MAX = 4096  # a chain of parents; whoever has a longer one is refused


def is_of_a_pod(sock: socket.socket) -> bool:
    """Whether a process below this one connected `sock`, or one that has gone meanwhile and cannot be told."""
    pid, _, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    for _ in range(_GENERATIONS_MAX):
        if pid in (os.getpid(), os.getppid()):  # a shim connects for the container that asked it to
            return True
        if pid <= 1:
            return False
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except OSError:
            return True
    return True
