"""What of the machine no pod may read: homes, Wherry's state with other pods' volumes and tokens in it, /tmp, /run, where
tokens and keys of who is there lie, /var/log, and devices (those that everybody needs landlock.py knows).

The other tiers show these empty; here a file in them cannot be opened (landlock.py), and is not copied into a layer either
(overlay.py). Their names and sizes can be seen.
"""

from __future__ import annotations

import os
from functools import lru_cache

_ALWAYS = (b"/root", b"/home", b"/tmp", b"/var/tmp", b"/dev")
_REMADE = (b"/run", b"/var/log")
"""Who writes here what the machine has too means a file of its own: a number, a log."""
ENTRIES_MAX = 1024
"""Of a directory beside the state directory. What lies beyond is hidden too: each is a rule that every container has to make."""


@lru_cache(maxsize=16)
def hidden(state: bytes) -> tuple[bytes, ...]:
    """Directories, by their real paths; `state` is Wherry's."""
    places = {os.path.realpath(each) for each in (*_ALWAYS, *_REMADE, *_own_home(), state)}
    return tuple(sorted(places))


def _own_home() -> list[bytes]:
    """Wherever it lies: of who runs Wherry and owns it, for users of services are at home in directories of the system."""
    home = os.path.realpath(os.path.expanduser(b"~"))
    try:
        own = os.geteuid() != 0 and home != b"/" and os.stat(home).st_uid == os.geteuid()
    except OSError:
        return []
    return [home] if own else []


def is_hidden(real: bytes, state: bytes) -> bool:
    """Of a real path."""
    return _is_in(real, hidden(state))


def is_remade(real: bytes) -> bool:
    """Of a real path: what the machine has there is nothing to who writes it."""
    return _is_in(real, _REMADE)


def _is_in(real: bytes, those: tuple[bytes, ...]) -> bool:
    return any(real == each or real.startswith(each + b"/") for each in those)


def shown(state: bytes) -> list[bytes]:
    """What is to be readable: everything of the machine that is neither hidden nor holds something hidden."""
    return _beside(b"/", hidden(state))


def _beside(folder: bytes, those: tuple[bytes, ...]) -> list[bytes]:
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
