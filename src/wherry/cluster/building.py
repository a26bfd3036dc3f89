"""The image builder of one system: its store, and the launcher's runtime when a RUN step needs it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wherry.builder.build import Builder
from wherry.builder.running import sweep
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.cri.interface import RuntimeService
from wherry.cri.service import LinuxRuntime
from wherry.images.store import ImageStore


@asynccontextmanager
async def builder(state: State, options: Options) -> AsyncIterator[Builder]:
    """Connected to the launcher only if a step has to run."""
    rng = random.Random()
    runtimes: list[LinuxRuntime] = []

    async def runtime() -> RuntimeService:
        if not runtimes:
            runtimes.append(LinuxRuntime(state.launcher_socket, rng))
            await sweep(runtimes[0])
        return runtimes[0]

    try:
        yield Builder(ImageStore(state.images), runtime, rng)
    finally:
        for each in runtimes:
            each.close()
