"""`wherry chaos disk`: what stands between a user and a full file system."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

from wherry.chaos.filler import Filler, NotFilled, check
from wherry.cli.session import Failed
from wherry.cluster.paths import State
from wherry.kubelet.node_facts import memory_available_bytes

MACHINES = ("/", "~", "/home", "/tmp", "/var", "/usr")
"""What else may lie on the file system of a state directory."""


def filling(state: State, leave: int, force: bool) -> AbstractContextManager[Filler]:
    """To be held while the fault lasts. Raises Failed."""
    try:
        if not force:
            check(state.root, (Path(os.path.expanduser(each)) for each in MACHINES), memory_available_bytes())
    except NotFilled as error:
        raise Failed(f"{error}; give it one of its own by --state-dir, or say --force") from None
    return Filler(state.root, leave)
