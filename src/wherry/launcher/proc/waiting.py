"""What the shim waits for: its control connection and everybody's listener.

Caller and shim wait for each other, so both are best on one core, and the kernel is asked for that (notify.answer_here). poll(2)
passes this on; epoll(7) takes it as a hint and may wake another core, which takes longer than the answer. But each descriptor
that is polled costs every call something. So few are polled themselves, those who called last, and all others by one epoll.
"""

from __future__ import annotations

import select

RECENT_MAX = 4
"""Each costs every connection a quarter of a microsecond; from eight on the kernel has to allocate memory too."""
_EVERY = 8
"""When as many call, one call in so many changes who is polled: for each it would cost more than it brings."""


class Waiting:
    """Always true: a descriptor is waited for in one of the two ways, never in both."""

    def __init__(self) -> None:
        self._others = select.epoll(flags=select.EPOLL_CLOEXEC)
        self._of_others = self._others.fileno()
        self._poll = select.poll()
        self._poll.register(self._of_others, select.POLLIN)  # the first, so that its events come first
        self._recent: dict[int, None] = {}
        self._passed_over = 0

    def add(self, fd: int) -> None:
        self._others.register(fd, select.EPOLLIN)

    def remove(self, fd: int) -> None:
        if fd in self._recent:
            del self._recent[fd]
            self._poll.unregister(fd)
        else:
            self._others.unregister(fd)

    def wait(self, milliseconds: int | None = None) -> list[tuple[int, int]]:
        """Who has something, and what: POLLIN, or that nobody is left at the other end. Nobody: the time is over."""
        found = self._poll.poll(milliseconds)
        if found and found[0][0] == self._of_others:
            found[:1] = called = self._others.poll(0)
            if called:
                self._prefer(called[0][0])
        return found

    def _prefer(self, fd: int) -> None:
        if len(self._recent) == RECENT_MAX:
            self._passed_over += 1
            if self._passed_over < _EVERY:
                return
            self._passed_over = 0
            longest = next(iter(self._recent))
            self.remove(longest)
            self.add(longest)
        self._others.unregister(fd)
        self._poll.register(fd, select.POLLIN)
        self._recent[fd] = None
