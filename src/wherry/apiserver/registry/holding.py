"""What a write holds besides the object: addresses it was given, its place in quotas. Given back when it has failed.

Pure bookkeeping: who takes something puts on `Context.undo` how to give it back, and on `Context.ended` what must be done
once the write is over, whatever came of it.
"""

from __future__ import annotations

from collections.abc import Callable

from wherry.apiserver.registry.strategy import Context
from wherry.storage import abandoned


def take_back(ctx: Context, error: BaseException) -> None:
    """After a failure: what was taken for the write is free again. If only its caller has gone, that depends on what
    becomes of it, and until then it counts as under way."""
    undo, ended = list(ctx.undo), list(ctx.ended)

    def known(stored: bool) -> None:
        if not stored:
            give_back(undo)
        give_back(ended)

    if abandoned.when_known(error, known):
        ctx.undo.clear()
        ctx.ended.clear()
    else:
        give_back(ctx.undo)


def give_back(undo: list[Callable[[], None]]) -> None:
    while undo:
        undo.pop()()
