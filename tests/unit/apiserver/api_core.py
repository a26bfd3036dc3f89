"""A whole API server core over memory, asked by plain calls: what a test says and what it gets back."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from wherry.aio.clock import LoopClock
from wherry.api.scheme import Scheme
from wherry.apiserver.app import App, Options
from wherry.apiserver.auth.user import User
from wherry.apiserver.filters.request_info import parse_query
from wherry.apiserver.http import Request, Response, Stream
from wherry.storage.interface import Storage
from wherry.storage.memory import MemoryStorage

ADMIN = User("admin", ("system:masters",))
JANE = User("jane", ("devs",))


@cache
def signing_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass
class Said:
    """An answer."""

    status: int
    body: Any
    headers: dict[str, str]
    content_type: str
    warnings: list[str] = field(default_factory=list)

    @property
    def message(self) -> str:
        text: str = self.body["message"]
        return text


class Server:
    def __init__(self, app: App) -> None:
        self.app = app

    async def ask(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        token: str = "secret",
        content_type: str = "application/json",
        **headers: str,
    ) -> Said:
        request = self.request(method, target, body, token=token, content_type=content_type, **headers)
        answer = await self.app.handle(request)
        assert isinstance(answer, Response), "use watch()"
        text = (answer.data or b"").decode()
        decoded = json.loads(text) if "json" in answer.content_type and text else text
        return Said(answer.status, decoded, answer.headers, answer.content_type, request.warnings)

    def request(self, method: str, target: str, body: Any, *, token: str, content_type: str, **headers: str) -> Request:
        path, _, query = target.partition("?")
        sent = {"authorization": f"Bearer {token}"} if token else {}
        sent |= {"content-type": content_type} if content_type else {}
        sent |= {name.replace("_", "-").lower(): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return Request(method, path, parse_query(query), sent, data, query)

    async def watch(self, target: str, **headers: str) -> Any:
        """The async generator of a watch's events, decoded."""
        answer = await self.app.handle(self.request("GET", target, None, token="secret", content_type="", **headers))
        assert isinstance(answer, Stream), answer
        return _events(answer)


async def _events(stream: Stream) -> Any:
    try:
        async for item in stream.items:
            yield json.loads(item)
    finally:
        await stream.items.aclose()


async def make_server(storage: Storage | None = None, **options: Any) -> Server:
    storage = storage or MemoryStorage()
    await storage.start()
    tokens = {"secret": ADMIN, "jane": JANE}
    app = App(Scheme.load(), storage, LoopClock(), random.Random(7), Options(signing_key(), tokens=tokens, **options))
    server = Server(app)
    said = await server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    assert said.status == 201, said.body
    return server


def config_map(name: str = "c", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


MAPS = "/api/v1/namespaces/shop/configmaps"
