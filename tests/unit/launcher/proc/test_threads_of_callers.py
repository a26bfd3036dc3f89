"""Pidfds that are kept: of whom they are is known without asking, until the thread has ended."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from wherry.launcher.proc import threads as module
from wherry.launcher.proc.threads import GoneError, Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads()
    yield threads
    threads.close()


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    found = [subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(3)]
    yield found
    for child in found:
        child.communicate()


def test_a_thread_is_known_from_its_second_call_on(threads: Threads, children: list[subprocess.Popen[bytes]]) -> None:
    pid = children[0].pid
    assert threads.duplicate_of_known(pid, 0) == -1
    first = threads.duplicate(pid, 0)
    second = threads.duplicate_of_known(pid, 0)
    assert os.path.samestat(os.fstat(first), os.fstat(second))
    for fd in (first, second):
        os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        threads.duplicate(pid, 999)


def test_one_that_has_ended_is_forgotten(threads: Threads, children: list[subprocess.Popen[bytes]]) -> None:
    pid = children[0].pid
    os.close(threads.duplicate(pid, 0))
    children[0].communicate()
    assert threads.duplicate_of_known(pid, 0) == -1
    with pytest.raises(GoneError):
        threads.duplicate(pid, 0)


def test_as_many_are_kept_as_there_is_room_for(
    threads: Threads, children: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 2)
    before = len(os.listdir("/proc/self/fd"))
    for child in children:
        os.close(threads.duplicate(child.pid, 0))
    assert len(os.listdir("/proc/self/fd")) == before + 2
    assert threads.duplicate_of_known(children[0].pid, 0) == -1
