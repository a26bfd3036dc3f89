"""Landlock: in a container whose sockets the shim connects and binds, nobody else does; files are moved as everywhere."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from wherry.launcher.proc import landlock

pytestmark = pytest.mark.skipif(not landlock.forbids_tcp(), reason="Landlock with TCP needs Linux 6.7")


def limited(call: Callable[[], object], *, tcp: bool, written: Path | None = None) -> int:
    """The errno of `call` in a process of its own that was limited as in a pod's container; 0 if it succeeds."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            landlock.keep_apart()
            limits = landlock.Limits(tcp=tcp)
            limits.write([os.fsencode(written)] if written else [])
            limits.read([b"/"])
            limits.enter()
            code = 0
            call()
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_tcp_is_the_shims() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client, socket.socket() as other:
        place = server.getsockname()
        assert limited(lambda: client.connect(place), tcp=False) == errno.EACCES
        assert limited(lambda: other.bind(("127.0.0.1", 0)), tcp=False) == errno.EACCES
        assert limited(lambda: client.connect(place), tcp=True) == 0


def test_a_connection_that_was_begun_is_waited_for() -> None:
    """Whatever the address is; a new one to that port leads nowhere."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client, socket.socket() as fresh:
        client.setblocking(False)
        assert client.connect_ex(server.getsockname()) in (0, errno.EINPROGRESS)
        client.setblocking(True)
        assert limited(lambda: client.connect(("192.0.2.1", landlock.NO_PORT)), tcp=False) == 0
        assert limited(lambda: fresh.connect(("127.0.0.1", landlock.NO_PORT)), tcp=False) != 0


def test_files_move_between_directories(tmp_path: Path) -> None:
    """As databases, git and installers do. Out of what may be written they do not."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside / "below", outside):
        folder.mkdir(parents=True)
    (inside / "file").touch()
    assert limited(lambda: (inside / "file").rename(inside / "below/moved"), tcp=False, written=inside) == 0
    assert limited(lambda: (inside / "link").hardlink_to(inside / "below/moved"), tcp=False, written=inside) == 0
    assert limited(lambda: (inside / "link").rename(outside / "link"), tcp=False, written=inside) == errno.EACCES
