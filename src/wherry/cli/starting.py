"""Start the processes of a system: the first half of `wherry up`. Whether its API answers then is `reaching.py`'s."""

from __future__ import annotations

import contextlib

from wherry.cluster import pki, system
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.cluster.pki import Pki


def settle(state: State, given: Options) -> Options:
    """The options to run with: what was chosen at the first start, changed by what was `given` now."""
    return system.prepare(state, given)


def begin(state: State, options: Options, now: float) -> bool:
    """Start what does not run and take over what does. Whether anything was started now.

    The certificates, which the control plane makes where it finds none, are made here while it is still importing: the start
    is shorter, and the library that makes them, ten megabytes, is nothing a running system keeps. `now` is in Unix seconds.
    """
    if not system.listed(state):
        state.ready.unlink(missing_ok=True)  # a crash of the machine left it
    if not system.start(state):
        return False
    with contextlib.suppress(OSError):  # a full disk: the control plane meets it too, and its log says so
        pki.ensure(Pki(state.pki), options, now)
    return True
