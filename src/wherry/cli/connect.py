"""A client of a running system, as its administrator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from wherry.client.http import HttpTransport
from wherry.client.rest import Client
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.cluster.pki import Pki


@dataclass(frozen=True, slots=True)
class Connection:
    """Verbs, and the transport itself for what is not an object (logs)."""

    client: Client
    transport: HttpTransport


@asynccontextmanager
async def connect(state: State, options: Options) -> AsyncIterator[Connection]:
    """Closed at the end of the block."""
    pki = Pki(state.pki)
    transport = HttpTransport(options.server, ca=pki.ca, certificate=pki.certificate("admin"), key=pki.key("admin"))
    try:
        yield Connection(Client(transport), transport)
    finally:
        await transport.close()
