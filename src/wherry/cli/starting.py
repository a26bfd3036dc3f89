"""Start the processes of a system: the first half of `wherry up`. Whether its API answers then is `reaching.py`'s."""

from __future__ import annotations

from wherry.cluster import system
from wherry.cluster.options import Options
from wherry.cluster.paths import State


def settle(state: State, given: Options) -> Options:
    """The options to run with: what was chosen at the first start, changed by what was `given` now."""
    return system.prepare(state, given)


def begin(state: State) -> bool:
    """Start what does not run and take over what does. Whether anything was started now."""
    if not system.listed(state):
        state.ready.unlink(missing_ok=True)  # a crash of the machine left it
    return system.start(state)
