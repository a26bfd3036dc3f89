"""What the shim knows of one container: who it is on the network, and where its paths really are."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from wherry.launcher.proc.overlay import Overlay
from wherry.launcher.proc.paths import Paths


@dataclass(slots=True)
class Guest:
    """One listener of notifications: a container's, or an exec'ed process's."""

    listener: int
    sandbox: str
    container: str
    ip: str
    """Empty: the machine's network."""
    hostname: str
    paths: Paths
    overlay: Overlay | None = None
    """None: its root is read-only."""
    packed: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.packed = socket.inet_aton(self.ip) if self.ip else b""
