"""A signal that ends connect(2) of the shim when it waits after all.

Whether it waits is a flag of the socket, which its owner may turn on again after the shim has turned it off: then the kernel
waits for as long as the other end likes, and everybody with it. The signal makes the call return EINTR.

It goes on ringing between connections, because to set and to silence it for each would cost a tenth of all that is done for one;
after one period without any it is silent. It is silent for every other call: an ioctl that is interrupted while it gives a
descriptor away would answer the caller with a wrong one.
"""

from __future__ import annotations

import signal
from signal import ITIMER_REAL, setitimer

SECONDS = 0.02
"""How long a hostile program can make others wait, per call."""


class Alarm:
    """`install` in the process that is to be woken; then `set` before the call, and `silence` before calls of other kinds."""

    __slots__ = ("_needed", "rings")

    def __init__(self) -> None:
        self.rings = False
        self._needed = False

    def install(self) -> None:
        signal.signal(signal.SIGALRM, self._rang)  # not SIG_IGN, which would interrupt nothing

    def set(self) -> None:
        self._needed = True  # first: who rings from now on goes on
        if not self.rings:
            self.rings = True
            setitimer(ITIMER_REAL, SECONDS, SECONDS)

    def silence(self) -> None:
        if self.rings:
            setitimer(ITIMER_REAL, 0)
            self.rings = False

    def _rang(self, *_: object) -> None:
        if self._needed:
            self._needed = False
        else:
            self.silence()


ALARM = Alarm()
