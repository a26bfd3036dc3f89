"""The transport contract over every way to an API server there is."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from wherry.aio.clock import LoopClock, RealClock
from wherry.api.resources import NAMESPACES
from wherry.api.scheme import Scheme
from wherry.apiserver.app import App, Options
from wherry.apiserver.auth.user import User
from wherry.apiserver.edge import Edge
from wherry.apiserver.in_process import InProcessTransport
from wherry.client.http import HttpTransport
from wherry.client.rest import Client
from wherry.client.transport import Transport
from wherry.storage.memory import MemoryStorage
from wherry.testing.contracts.transport import TransportContract
from wherry.testing.fake_api import FakeApi

ADMIN = User("admin", groups=("system:masters",))


class TestFakeApi(TransportContract):
    @pytest.fixture
    async def transport(self) -> AsyncIterator[Transport]:
        api = FakeApi()
        yield api
        await api.close()


@cache
def signing_key() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


async def make_app() -> App:
    storage = MemoryStorage()
    await storage.start()
    app = App(
        Scheme.load("1.36"), storage, LoopClock(), random.Random(1), Options(signing_key(), tokens={"secret": ADMIN})
    )
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
    await Client(InProcessTransport(app, ADMIN)).create(NAMESPACES, namespace)
    return app


class TestInProcess(TransportContract):
    @pytest.fixture
    async def transport(self) -> Transport:
        return InProcessTransport(await make_app(), ADMIN)


class TestHttp(TransportContract):
    @pytest.fixture
    async def transport(self) -> AsyncIterator[Transport]:
        edge = Edge(await make_app(), RealClock())
        listening = socket.create_server(("127.0.0.1", 0))
        await edge.listen(listening, None)
        http = HttpTransport(f"http://127.0.0.1:{listening.getsockname()[1]}", token="secret")
        yield http
        await http.close()
        await edge.stop()
