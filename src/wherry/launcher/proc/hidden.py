"""What of the machine no pod may read: homes, Wherry's state with other pods' volumes and tokens in it, and /tmp.

The other tiers show these empty; here a file in them cannot be opened (landlock.py), and is not copied into a layer either
(overlay.py). Their names and sizes can be seen.
"""

from __future__ import annotations

import os

_ALWAYS = (b"/root", b"/home", b"/tmp", b"/var/tmp")
ENTRIES_MAX = 1024
"""Of a directory beside the state directory. What lies beyond is hidden too: each is a rule that every container has to make."""


def hidden(state: bytes) -> list[bytes]:
    """Directories, by their real paths; `state` is Wherry's."""
    return [*_ALWAYS, os.path.realpath(state)]


def is_hidden(real: bytes, state: bytes) -> bool:
    """Of a real path."""
    return any(real == each or real.startswith(each + b"/") for each in hidden(state))


def shown(state: bytes) -> list[bytes]:
    """What is to be readable: everything of the machine that is neither hidden nor holds something hidden."""
    return _beside(b"/", hidden(state))


def _beside(folder: bytes, those: list[bytes]) -> list[bytes]:
    found: list[bytes] = []
    with os.scandir(folder) as entries:
        for entry, _ in zip(entries, range(ENTRIES_MAX), strict=False):
            if entry.is_symlink():  # what it leads to has an entry of its own, or is hidden
                continue
            if entry.path in those:
                continue
            if any(each.startswith(entry.path + b"/") for each in those):
                found += _beside(entry.path, those)
            else:
                found.append(entry.path)
    return found
