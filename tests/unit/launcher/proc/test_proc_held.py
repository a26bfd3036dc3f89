"""Duplicates of sockets that the shim keeps where it may not take any: whose they are, and when they go."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from wherry.launcher.proc import held
from wherry.launcher.proc.caller import Caller
from wherry.launcher.proc.guest import Guest
from wherry.launcher.proc.held import Held, NotHeldError, inode_of
from wherry.launcher.proc.notify import NOTIFICATION
from wherry.launcher.proc.paths import Paths

ME = os.getpid()
ONE, OTHER = (Guest(listener, "s", "c", "10.244.0.7", "h", Paths(())) for listener in (-7, -8))


@pytest.fixture
def sockets() -> Iterator[Held]:
    sockets = Held()
    yield sockets
    for guest in (ONE, OTHER):
        sockets.leave(guest.listener)
    sockets.close()


def duplicate(sockets: Held, guest: Guest, sock: socket.socket) -> int:
    """The inode of what `guest` gets for its descriptor; 0: nothing is held."""
    found = []

    def exactly(caller: Caller, _: Guest) -> None:
        fd = sockets.duplicate(caller.thread, caller.arguments[0])
        found.append(os.fstat(fd).st_ino)
        os.close(fd)

    raw = NOTIFICATION.pack(1, ME, 0, 42, 0, 0, sock.fileno(), 0, 0, 0, 0, 0)
    sockets.first(exactly, lambda *_: found.append(0))(Caller(-1, raw, sockets), guest)
    return found[0]


def test_a_socket_is_given_to_whom_it_was_made_for(sockets: Held) -> None:
    with socket.socket() as mine, socket.socket() as strange:
        sockets.keep(ONE, mine)
        assert duplicate(sockets, ONE, mine) == inode_of(ME, mine.fileno())
        assert duplicate(sockets, OTHER, mine) == 0
        assert duplicate(sockets, ONE, strange) == 0
        sockets.leave(ONE.listener)
        assert duplicate(sockets, ONE, mine) == 0


def test_a_stream_that_listens_is_let_go_of_and_its_name_remembered(sockets: Held) -> None:
    with socket.socket() as server:
        sockets.keep(ONE, server)
        server.bind(("127.0.0.1", 0))
        sockets.settle(server, None)
        names = sockets.names(ME, server.fileno())
        assert names is not None
        assert (names.local, names.peer) == (server.getsockname(), None)
        assert duplicate(sockets, ONE, server) == 0


def test_the_last_duplicate_of_a_connection_is_its_owners(sockets: Held) -> None:
    """Or the other end would never hear that it was closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.socket()
        sockets.keep(ONE, client)
        client.connect(server.getsockname())
        sockets.settle(client, server.getsockname())
        there, _ = server.accept()
        client.close()
        with there:
            there.settimeout(60)
            assert there.recv(1) == b""


def test_sockets_for_datagrams_stay(sockets: Held) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sockets.keep(ONE, sock)
        sock.connect(("127.0.0.1", 9))
        sockets.settle(sock, ("127.0.0.1", 9))
        assert duplicate(sockets, ONE, sock) == inode_of(ME, sock.fileno())


def test_those_not_used_for_long_go_first(sockets: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "HELD_MAX", 2)
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        sockets.keep(ONE, first)
        sockets.keep(ONE, second)
        assert duplicate(sockets, ONE, first)
        sockets.keep(ONE, third)
        assert [bool(duplicate(sockets, ONE, each)) for each in (first, second, third)] == [True, False, True]


def test_a_descriptor_that_is_none_is_said_to_be_none(sockets: Held) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        inode_of(ME, 1 << 20)
    with pytest.raises(NotHeldError):
        sockets.duplicate(ME, 0)
