"""Who is waited for, whichever way: nobody is missed, told twice, or kept when it has gone."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from wherry.launcher.proc.waiting import RECENT_MAX, Waiting

MANY = 3 * RECENT_MAX


@dataclass
class Pipes:
    """Readable ends, and who writes to them."""

    ends: dict[int, int] = field(default_factory=dict)

    def make(self) -> int:
        ours, theirs = os.pipe()
        self.ends[ours] = theirs
        return ours

    def call(self, fd: int) -> None:
        os.write(self.ends[fd], b"x")

    def hang_up(self, fd: int) -> None:
        os.close(self.ends.pop(fd))

    def answer(self, fd: int) -> None:
        os.read(fd, 1)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes()
    yield made
    for both in made.ends.items():
        for fd in both:
            os.close(fd)


def told(waiting: Waiting) -> list[int]:
    return sorted(fd for fd, events in waiting.wait() if events & select.POLLIN)


def test_everybody_is_told_once_however_many_call(pipes: Pipes) -> None:
    waiting = Waiting()
    fds = [pipes.make() for _ in range(MANY)]
    for fd in fds:
        waiting.add(fd)
    for step in range(10 * MANY):  # long enough that those who are polled change several times
        calling = sorted({fds[step % MANY], fds[(7 * step) % MANY]})
        for fd in calling:
            pipes.call(fd)
        assert told(waiting) == calling
        assert told(waiting) == calling  # until it is answered
        for fd in calling:
            pipes.answer(fd)
    for fd in fds:
        pipes.call(fd)
    assert told(waiting) == sorted(fds)


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_who_has_gone_is_said_once_and_forgotten(pipes: Pipes, calls: int) -> None:
    waiting = Waiting()
    gone, other = pipes.make(), pipes.make()
    waiting.add(gone)
    waiting.add(other)
    for _ in range(calls):
        pipes.call(gone)
        assert told(waiting) == [gone]
        pipes.answer(gone)
    pipes.hang_up(gone)
    assert waiting.wait() == [(gone, select.POLLHUP)]
    waiting.remove(gone)
    os.close(gone)
    pipes.call(other)
    assert waiting.wait() == [(other, select.POLLIN)]
