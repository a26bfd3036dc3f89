"""Connections into the node's network, of a launcher that goes away."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from wherry.apiserver.dialing import NodeNetwork
from wherry.apiserver.outward import OutwardError
from wherry.launcher import protocol


def test_a_socket_is_closed_when_nobody_says_where_the_pod_is(tmp_path: Path) -> None:
    given, kept = socket.socketpair()

    def answer(listener: socket.socket) -> None:
        """As the launcher of a node of tier proc, which ends when it is asked for an address."""
        server, _ = listener.accept()
        with server, given:
            while (asked := protocol.receive(server)) is not None and asked[0]["op"] != "node.resolve":
                number = asked[0]["id"]
                if asked[0]["op"] == "ping":
                    protocol.send(server, {"id": number, "ok": {"tier": "proc"}})
                else:
                    protocol.send(server, {"id": number, "ok": {}}, [given.fileno()])

    async def play() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(tmp_path / "socket"))
            listener.listen()
            launcher = asyncio.create_task(asyncio.to_thread(answer, listener))
            network = NodeNetwork(tmp_path / "socket", ["10.244.0.0/16"])
            with pytest.raises(OutwardError, match="the node does not run"):
                await network.connect("10.244.0.5", 80)
            await launcher
            network.close()

    kept.setblocking(False)
    with kept:
        asyncio.run(play())
        assert kept.recv(1) == b""  # nobody has its other end any more
