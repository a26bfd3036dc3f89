"""Framing: descriptors, large messages, cut and foreign ones, and addresses of any length."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from wherry.launcher import protocol
from wherry.launcher.protocol import LauncherError, ProtocolError


def test_a_message_with_descriptors() -> None:
    one, other = protocol.socketpair()
    read, write = os.pipe()
    with one, other:
        protocol.send(one, {"id": 1, "text": "ä\x00"}, [read, write])
        received = protocol.receive(other)
        assert received is not None
        message, fds = received
        assert message == {"id": 1, "text": "ä\x00"}
        os.write(fds[1], b"through")
        assert os.read(read, 10) == b"through"
        assert not any(os.get_inheritable(fd) for fd in fds)
        protocol.close_fds([read, write, *fds])


@pytest.mark.parametrize("size", [protocol.INLINE_BYTES_MAX - 20, protocol.INLINE_BYTES_MAX, 5_000_000])
def test_messages_of_any_size(size: int) -> None:
    one, other = protocol.socketpair()
    with one, other, open("/dev/null") as null:
        protocol.send(one, {"text": "x" * size}, [null.fileno()])
        received = protocol.receive(other)
        assert received is not None
        assert received[0] == {"text": "x" * size}
        assert len(received[1]) == 1
        protocol.close_fds(received[1])


def test_what_is_too_large_is_refused_by_the_sender() -> None:
    one, other = protocol.socketpair()
    with one, other:
        with pytest.raises(LauncherError, match="at most 16777216") as failure:
            protocol.send(one, {"text": "x" * protocol.MESSAGE_BYTES_MAX})
        assert failure.value.reason == "TooLarge"
        with pytest.raises(LauncherError, match="251 descriptors"):
            protocol.send(one, {}, [0] * 251)


@pytest.mark.parametrize("packet", [b"{", b"[]", b"\x00short", b"\x00" + b"\xff" * 8, b'{"a":1}' + b" " * 70_000])
def test_foreign_packets(packet: bytes) -> None:
    one, other = protocol.socketpair()
    with one, other:
        one.sendall(packet)
        with pytest.raises(ProtocolError):
            protocol.receive(other)


def test_the_end_and_what_was_said_before_it() -> None:
    one, other = protocol.socketpair()
    with other:
        protocol.send(other, {"never": "read"})
        protocol.send(one, {"last": "words"})
        one.close()
        assert protocol.receive(other) == ({"last": "words"}, [])
        assert protocol.receive(other) is None


def test_addresses_of_any_length(tmp_path: Path) -> None:
    assert protocol.unix_address("/run/x.sock") == "/run/x.sock"
    folder = tmp_path / ("a" * 90)
    folder.mkdir()
    for _ in range(2):  # also after the directory was made anew
        path = folder / "x.sock"
        with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as calling:
            listening.bind(protocol.unix_address(path))
            listening.listen()
            calling.connect(protocol.unix_address(path))
        path.unlink()
        folder.rmdir()
        folder.mkdir()
