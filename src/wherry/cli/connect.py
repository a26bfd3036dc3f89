"""A client of a running system, as its administrator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wherry.client.http import HttpTransport
from wherry.client.rest import Client
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.cluster.pki import Pki


@asynccontextmanager
async def connect(state: State, options: Options) -> AsyncIterator[Client]:
    """Closed at the end of the block."""
    pki = Pki(state.pki)
    transport = HttpTransport(options.server, ca=pki.ca, certificate=pki.certificate("admin"), key=pki.key("admin"))
    try:
        yield Client(transport)
    finally:
        await transport.close()
