"""A signal that ends connect(2) of the shim when it waits after all.

Whether it waits is a flag of the socket, which its owner may turn on again after the shim has turned it off: then the kernel
waits for as long as the other end likes, and everybody with it. The signal makes the call return EINTR. It rings for nothing
else: an ioctl that is interrupted while it gives a descriptor away would answer the caller with a wrong one.
"""

from __future__ import annotations

import signal
from types import TracebackType

SECONDS = 0.02
"""How long a hostile program can make others wait, per call."""


class Alarm:
    """`install` in the process that is to be woken; then use it in a `with` block around the call."""

    __slots__ = ()

    @staticmethod
    def install() -> None:
        signal.signal(signal.SIGALRM, lambda *_: None)  # not SIG_IGN, which would interrupt nothing

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, SECONDS, SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


ALARM = Alarm()
