"""What netd decides without sockets: egress destinations, node port targets, state and its file, the control protocol."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest

from wherry.network import netd_state, nodeport
from wherry.network.egress import Egress, outside
from wherry.network.keeper import Keeper
from wherry.network.netd_control import Answer, ControlClient, ControlServer, Request
from wherry.network.netd_state import NetdState
from wherry.network.nftables import NodeNetwork
from wherry.network.poller import Poller
from wherry.network.relays import Relays
from wherry.network.services import Backend, ServicePort, ServiceRecord

NETWORK = NodeNetwork()
PODS = (Backend("10.244.0.2", 80),)
WEB = ServiceRecord("shop", "web", cluster_ip="10.96.0.5", ports=(ServicePort("", "TCP", 80, 30080, PODS),))
DB = ServiceRecord(
    "shop", "db", cluster_ip="10.96.0.6", ports=(ServicePort("", "TCP", 5432, 0, (Backend("192.0.2.9", 5432),)),)
)


def test_where_a_pods_connection_goes() -> None:
    with socket.socket() as sock:
        egress = Egress(sock, Relays(Keeper(None), Poller(), 1), NETWORK, random.Random(1))  # type: ignore[arg-type]
        egress.update([WEB, DB])
        assert egress.addresses(("192.0.2.1", 443)) == [("192.0.2.1", 443)]
        assert egress.addresses(("10.244.0.1", 5000)) == [("127.0.0.1", 5000), ("::1", 5000)]
        assert egress.addresses(("10.244.0.1", NETWORK.egress_port)) == []
        assert egress.addresses(("10.96.0.6", 5432)) == [("192.0.2.9", 5432)]
        assert egress.addresses(("10.96.0.5", 80)) == []
        assert egress.addresses(("10.244.9.9", 80)) == []


def test_only_endpoints_outside_are_netds() -> None:
    assert outside([WEB, DB], NETWORK) == {("10.96.0.6", 5432): (Backend("192.0.2.9", 5432),)}


def test_node_ports_are_tcp() -> None:
    udp = ServiceRecord("shop", "dns", ports=(ServicePort("", "UDP", 53, 30053, PODS),))
    targets = nodeport.wanted([WEB, DB, udp])
    assert list(targets) == [30080]
    assert (targets[30080].service, targets[30080].backends, targets[30080].sticky) == ("shop/web", PODS, False)


def test_state_changes_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "netd.json"
    assert netd_state.load(path) == NetdState()
    state = NetdState().changed({WEB.key: WEB, DB.key: DB}, ("shop",)).changed({DB.key: None}, None)
    assert state == NetdState({WEB.key: WEB}, ("shop",))
    netd_state.save(path, state)
    assert netd_state.load(path) == state
    path.write_text('{"services": {"shop/web": 1}}')
    assert netd_state.load(path) == NetdState()


async def test_the_control_protocol(tmp_path: Path) -> None:
    seen: list[Request] = []

    def handle(request: Request) -> Answer:
        if request.op == "bad":
            raise ValueError("no such thing")
        seen.append(request)
        return Answer(True, failures={"30080": "taken"})

    path = tmp_path / ("d" * 60) / ("e" * 60) / "netd.sock"
    path.parent.mkdir(parents=True)
    server = asyncio.ensure_future(ControlServer(path, handle).run())
    client = ControlClient(path)
    while True:
        try:
            await client.connect()
            break
        except OSError:
            await asyncio.sleep(0)
    reader = asyncio.ensure_future(client.run())
    first, second = await asyncio.gather(client.replace({WEB.key: WEB}, ("shop",)), client.change({WEB.key: None}))
    assert first == second == Answer(True, failures={"30080": "taken"})
    assert seen == [Request("replace", {WEB.key: WEB}, ("shop",)), Request("change", {WEB.key: None})]
    assert await client.ask(Request("bad")) == Answer(False, "no such thing")
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)
    with pytest.raises(ConnectionError):
        await reader
    with pytest.raises(ConnectionError):
        await client.ask(Request("status"))
