"""The image builder of one system: its store, and the launcher's runtime when a RUN step needs it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from wherry.builder.build import Builder
from wherry.builder.running import sweep
from wherry.cluster.paths import State
from wherry.cri.interface import RuntimeService
from wherry.cri.service import LinuxRuntime
from wherry.images.store import ImageStore


@asynccontextmanager
async def builder(state: State) -> AsyncIterator[Builder]:
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


async def layers_in_use(state: State) -> frozenset[Path]:
    """Unpacked layers under containers that exist; none when nothing runs."""
    runtime = LinuxRuntime(state.launcher_socket, random.Random())
    try:
        containers = await runtime.list_containers()
    except ConnectionError:
        return frozenset()
    finally:
        runtime.close()
    return frozenset(layer for container in containers for layer in container.config.rootfs.layers)
