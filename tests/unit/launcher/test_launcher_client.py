"""A client of the launcher whose caller goes away."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from wherry.launcher import protocol
from wherry.launcher.client import LauncherClient


@pytest.mark.parametrize("turns", [1, 2])
def test_descriptors_for_a_caller_that_was_cancelled_are_closed(tmp_path: Path, turns: int) -> None:
    """Before the answer was read, and between that and the caller's turn."""
    reading, writing = os.pipe()

    async def play() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(tmp_path / "socket"))
            listener.listen()
            client = LauncherClient(tmp_path / "socket")
            await client.connect()
            server, _ = listener.accept()
        with server:
            call = asyncio.ensure_future(client.call("node.connect"))
            await asyncio.sleep(0)
            asked = protocol.receive(server)
            assert asked is not None
            protocol.send(server, {"id": asked[0]["id"], "ok": {}}, [writing])
            os.close(writing)
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            again = asyncio.ensure_future(client.call("node.connect"))
            await asyncio.sleep(0)
            asked = protocol.receive(server)
            assert asked is not None
            protocol.send(server, {"id": asked[0]["id"], "ok": {"read": "all before"}})
            assert (await again).args == {"read": "all before"}
            client.close()

    asyncio.run(play())
    os.set_blocking(reading, False)
    try:
        assert os.read(reading, 1) == b""  # nobody has its other end any more
    finally:
        os.close(reading)
