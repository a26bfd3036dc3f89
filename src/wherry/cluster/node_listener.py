"""The API server as pods see it: sockets that listen inside the node's network, lent by the launcher.

There is no proxy in the path. The launcher keeps a duplicate of each socket, so that connections made while the control
plane starts again wait in its queue; a launcher that starts again has a new network, and the sockets are asked for anew.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from wherry.aio.backoff import Backoff
from wherry.aio.clock import Clock
from wherry.apiserver.edge import Edge
from wherry.launcher.client import LauncherClient, LauncherError

log = logging.getLogger(__name__)
BACKLOG = 1024


async def serve(
    edge: Edge,
    context: ssl.SSLContext,
    launcher: Path,
    addresses: Sequence[tuple[str, int]],
    clock: Clock,
    backoff: Backoff,
) -> None:
    """Listen on `addresses` of the node's network, until cancelled."""
    while True:
        client = LauncherClient(launcher)
        try:
            await client.connect()
            await _listen(edge, context, client, addresses)
            backoff.reset()
            log.info("pods reach the API at %s", ", ".join(f"{host}:{port}" for host, port in addresses))
            await client.wait_closed()
        except (LauncherError, ConnectionError, OSError) as error:
            log.debug("launcher: %s", error)
        finally:
            client.close()
        await clock.sleep(backoff.next())


async def _listen(
    edge: Edge, context: ssl.SSLContext, client: LauncherClient, addresses: Sequence[tuple[str, int]]
) -> None:
    for host, port in addresses:
        reply = await client.call(
            "node.socket",
            family=int(socket.AF_INET),
            type=int(socket.SOCK_STREAM),
            bind=[host, port],
            backlog=BACKLOG,
            freebind=True,
            keep=f"apiserver-{host}-{port}",
        )
        listener = socket.socket(fileno=reply.fds[0])
        listener.setblocking(False)
        await edge.listen(listener, context)
