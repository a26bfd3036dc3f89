"""rename and link: the system calls that name two paths. If either leads to something promised, both are found here.

Either may turn out to lead elsewhere by a link, so each is settled by itself: first the old one, then the new one while the old
one's directory is held.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.file_shapes import perform
from wherry.launcher.proc.finding import Tell, resolve, settle
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.notify import FILES
from wherry.launcher.proc.outcomes import Refusal
from wherry.launcher.proc.reach import Found

_FOLLOW = 0x400  # AT_SYMLINK_FOLLOW
_EXCHANGE = 2  # RENAME_EXCHANGE


@dataclass(frozen=True, slots=True)
class Pair:
    """Where a call's arguments are: of `old` and `new` the path and its directory's descriptor (-1: none), then its flags (-1:
    none). `links`: it adds a name instead of changing one."""

    old: tuple[int, int]
    new: tuple[int, int]
    flags: int = -1
    links: bool = False


PAIRS = {
    "rename": Pair((0, -1), (1, -1)),
    "renameat": Pair((1, 0), (3, 2)),
    "renameat2": Pair((1, 0), (3, 2), 4),
    "link": Pair((0, -1), (1, -1), links=True),
    "linkat": Pair((1, 0), (3, 2), 4, links=True),
}


class PairCall:
    """`handle` raises OSError, Refusal and GoneError, and answers unless it raises."""

    def __init__(self, pair: Pair, tell: Tell) -> None:
        self._pair = pair
        self._tell = tell

    def handle(self, caller: Caller, guest: Guest) -> None:
        found = self._resolve(caller, guest)
        if found is None:
            caller.proceed()
            return
        old, new = found
        flags = caller.arguments[self._pair.flags] & 0xFFFFFFFF if self._pair.flags >= 0 else 0
        if self._pair.links:
            flags &= ~_FOLLOW

        def use(at: Found) -> int:
            return self._begin(caller, guest, at, new, flags)

        caller.succeed(settle(caller, guest, old, use, self._pair.old[0], self._tell, changes=True))

    def _resolve(self, caller: Caller, guest: Guest) -> tuple[Found, Found] | None:
        """Both paths; None: the kernel finds them. Raises Refusal(EXDEV) where only one is promised."""
        pair = self._pair
        old = resolve(caller, guest, *pair.old, changes=True)
        new = resolve(caller, guest, *pair.new, changes=True, creates=True)
        if old is None and new is None:
            return None
        old = old or resolve(caller, guest, *pair.old, changes=True, everything=True)
        new = new or resolve(caller, guest, *pair.new, changes=True, creates=True, everything=True)
        if old is None or new is None:
            raise Refusal(errno.EXDEV)  # as between two mounts
        return old, new

    def _begin(self, caller: Caller, guest: Guest, old: Found, new: Found, flags: int) -> int:
        """With the old path settled, settle the new one."""
        for each in (old, new):
            if each.readonly:
                raise Refusal(errno.EROFS)
            if guest.is_mount(each.name):
                raise Refusal(errno.EBUSY)
        with old.parent() as place:

            def use(at: Found) -> int:
                return self._finish(guest, old, place, at, flags)

            return settle(caller, guest, new, use, self._pair.new[0], self._tell, changes=True)

    def _finish(self, guest: Guest, old: Found, place: tuple[int, bytes], new: Found, flags: int) -> int:
        """With both settled, perform the call. `place`: where `old` is, a directory's descriptor and a name in it."""
        if new.readonly:
            raise Refusal(errno.EROFS)
        number = FILES["linkat" if self._pair.links else "renameat2"]
        with new.parent() as to:
            done = perform(number, *place, *to, flags)
        if not self._pair.links and not flags & _EXCHANGE:
            guest.removed(old)
        return done
