"""Memory that is kept of threads that name many paths: of which, for how long, and that it tells only of the machine's."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from wherry.launcher.proc import glimpses as module
from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.finding import resolve
from wherry.launcher.proc.glimpses import ENOUGH, Glimpses
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.notify import ARCHITECTURE, FILES, NOTIFICATION
from wherry.launcher.proc.outcomes import GoneError
from wherry.launcher.proc.paths import Paths, Promise
from wherry.launcher.proc.threads import Threads

PATH = ctypes.create_string_buffer(b"/usr/lib/a-library\0", 300)
LONG = ctypes.create_string_buffer(b"/" + b"x" * 400)
ME = threading.get_native_id()
NOBODY = 1 << 22
"""No thread has this number, or a higher one."""
pytestmark = pytest.mark.usefixtures("nothing_collected")


@pytest.fixture
def glimpses() -> Iterator[Glimpses]:
    made = Glimpses()
    yield made
    made.forget()


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_thread_is_known_once_it_named_several_in_a_row(glimpses: Glimpses) -> None:
    address = ctypes.addressof(PATH)
    for _ in range(ENOUGH):
        assert glimpses.path(ME, address) is None
        glimpses.machines(ME)
    assert glimpses.path(ME, address) == b"/usr/lib/a-library"
    for nowhere in (1, 1 << 63, ctypes.addressof(LONG)):
        assert glimpses.path(ME, nowhere) is None


def test_what_is_promised_ends_the_row(glimpses: Glimpses) -> None:
    before = _descriptors()
    for _ in range(ENOUGH):
        glimpses.machines(ME)
        glimpses.machines(ME)
        glimpses.promised(ME)
        assert glimpses.path(ME, ctypes.addressof(PATH)) is None
    for _ in range(ENOUGH):
        glimpses.machines(ME)
    glimpses.promised(ME)
    assert glimpses.path(ME, ctypes.addressof(PATH)) is None
    assert _descriptors() == before


def test_as_many_are_kept_as_there_is_room_for(glimpses: Glimpses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 2)
    before = _descriptors()
    children = [subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(4)]
    try:
        for child in children:
            for _ in range(ENOUGH):
                glimpses.machines(child.pid)
        assert _descriptors() == before + len(children) + 2
        for number in range(NOBODY, NOBODY + 10):
            glimpses.machines(number)
        assert len(glimpses._asked) <= 2
        glimpses.forget()
        assert _descriptors() == before + len(children)
    finally:
        for child in children:
            child.communicate()


def test_memory_of_a_program_that_ended_is_let_go_of(glimpses: Glimpses) -> None:
    before = _descriptors()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    for _ in range(ENOUGH):
        glimpses.machines(child.pid)
    child.communicate()
    assert glimpses.path(child.pid, ctypes.addressof(PATH)) is None
    assert _descriptors() == before


def test_what_is_promised_is_believed_only_of_who_waits() -> None:
    """The number of a thread that was kept may be another's: nothing is done for it by what was kept."""
    threads, guest = Threads(), Guest.of_files(Paths([Promise(b"/data", b"/real")]))
    promised = ctypes.create_string_buffer(b"/data/file\0", 300)
    with open(os.devnull) as nobody:  # no listener: whoever asked does not wait there any more

        def call(path: ctypes.Array[ctypes.c_char]) -> Caller:
            arguments = (0, ctypes.addressof(path), 0, 0, 0, 0)
            raw = NOTIFICATION.pack(1, ME, 0, FILES["newfstatat"], ARCHITECTURE, 0, *arguments)
            return Caller(nobody.fileno(), raw, threads)

        try:
            for _ in range(ENOUGH + 1):
                assert resolve(call(PATH), guest, 1, -1) is None
            assert threads.glimpses.path(ME, ctypes.addressof(PATH)) is not None
            with pytest.raises(GoneError):
                resolve(call(promised), guest, 1, -1)
            assert threads.glimpses.path(ME, ctypes.addressof(PATH)) is None
        finally:
            threads.close()
