"""What every process of the launcher knows, computed once before the first fork and inherited ever after."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from wherry.launcher.cgroups import Cgroups
from wherry.launcher.host_view import HostView
from wherry.launcher.options import Options
from wherry.launcher.usermap import Maps


@dataclass(frozen=True, slots=True)
class Context:
    """`staging` and `shared_memory` are empty directories to mount on, each process in its own mount namespace; in tier proc
    there is no first, and the second holds those of pods, see proc/shared_memory.py."""

    options: Options
    maps: Maps
    view: HostView
    cgroups: Cgroups
    staging: str
    shared_memory: str
    controls: list[socket.socket] = field(default_factory=list)
    """In tier proc: connections to the shims, see proc/shims.py."""
    not_isolated: str = ""
    """What keeps nothing apart here; empty where every pod has namespaces of its own."""

    @property
    def single_user(self) -> bool:
        """Only user 0 exists, see usermap.py."""
        return not self.maps.many
