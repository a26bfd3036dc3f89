"""Messages that the shim sends for a container: what it copies has room, or is refused."""

from __future__ import annotations

import errno
import socket

import pytest

from wherry.launcher.proc.addresses import SOCKADDR_BYTES_MAX
from wherry.launcher.proc.memory import BUFFER_BYTES
from wherry.launcher.proc.messages import CONTROL_BYTES_MAX, Message, control_message
from wherry.launcher.proc.outcomes import Refusal

NOBODYS = 1000
"""A level of control messages that every socket passes over."""


def test_one_control_message_more_than_a_caller_may_have_is_sent() -> None:
    full = control_message(NOBODYS, 1, bytes(CONTROL_BYTES_MAX - 16))
    assert len(full) == CONTROL_BYTES_MAX
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        assert Message().send(here, b"", b"data", control_message(NOBODYS, 1, bytes(20)) + full, 0) == 4
        assert there.recv(10) == b"data"


@pytest.mark.parametrize(
    ("name", "payload", "control"),
    [(SOCKADDR_BYTES_MAX + 1, 1, 0), (0, BUFFER_BYTES + 1, 0), (0, 1, CONTROL_BYTES_MAX + 65)],
)
def test_what_there_is_no_room_for_is_refused(name: int, payload: int, control: int) -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there, pytest.raises(Refusal) as refused:
        Message().send(here, bytes(name), bytes(payload), bytes(control), 0)
    assert refused.value.number == errno.ENOBUFS
