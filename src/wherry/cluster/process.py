"""What every asyncio process of a system begins with: logs on standard error, a stop by signal, one task group."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from wherry.aio.clock import Clock
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.network.nftables import NodeNetwork

LOOK_SECONDS = 0.01


def run(role: str, main: Coroutine[Any, Any, None]) -> None:
    """Run `main` until it ends or SIGTERM or SIGINT asks it to; a failure ends the process, which is started again."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the soft one is a thousand: not enough clients
    logging.basicConfig(
        stream=sys.stderr, level=os.environ.get("WHERRY_LOG", "INFO"), format=f"%(asctime)s {role} %(name)s %(message)s"
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    asyncio.run(_until_told(main))


async def _until_told(main: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(main)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def options_of(state: State) -> Options:
    """The options this system runs with; they are written before any process starts."""
    options = Options.load(state.config)
    assert options is not None, f"{state.config} is written by `wherry up`"
    return options


def node_network(options: Options) -> NodeNetwork:
    return NodeNetwork(
        pods=options.pod_cidr,
        services=options.service_cidr,
        gateway=options.pod_gateway,
        local=(options.api_service_ip, options.dns_service_ip),
        node_addresses=(options.pod_gateway,),
    )


async def until_exists(path: Path, clock: Clock) -> None:
    """Return once another process has written `path` (certificates at the very first start)."""
    while not path.exists():  # noqa: ASYNC240 - a stat of a local file
        await clock.sleep(LOOK_SECONDS)
