"""RUN: a command in a sandbox over the layers so far; what it wrote becomes the next layer.

The sandbox shares the machine's own network: a build fetches, it does not serve. Nothing of it stays when it fails.
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from wherry.builder.steps import Layer
from wherry.builder.users import User
from wherry.cri.interface import (
    OWNER_LABEL,
    ContainerConfig,
    ContainerState,
    ContainerStatus,
    Mount,
    RuntimeFailure,
    RuntimeService,
    SandboxConfig,
)
from wherry.images.layers import CHUNK, LayerError
from wherry.images.rootfs import RootFS
from wherry.images.store import LAYER, Descriptor, ImageStore, StoreError

BUILDER = "builder"
PROCESS_LABEL = "wherry.dev/builder-process"
"""Which process a sandbox belongs to, see `sweep`."""
LOG = "run.log"
OUTPUT_LINES = 20  # shown when a step fails
FOLLOW_SECONDS = 1.0  # between looks at the output, for progress; the end itself is an event


class RunFailure(Exception):
    """The command failed, or could not be run; the text has the last lines it wrote."""


class Run(Struct, frozen=True):
    """One RUN, expanded."""

    argv: Sequence[str]
    rootfs: RootFS
    environment: Mapping[str, str]
    workdir: str
    user: User
    mounts: Sequence[Mount] = ()


async def run(
    runtime: Callable[[], Awaitable[RuntimeService]],
    store: ImageStore,
    step: Run,
    rng: random.Random,
    report: Callable[[str], None],
) -> Layer:
    """The layer of what the command wrote. Raises RunFailure."""
    with store.temporary() as folder:
        try:
            return await _run(await runtime(), store, step, _sandbox(folder, rng), report)
        except (RuntimeFailure, LayerError, StoreError) as error:
            raise RunFailure(str(error)) from error
        except ConnectionError as error:
            raise RunFailure(f"the launcher does not answer ({error}): start the system with `wherry up`") from error


def _sandbox(folder: Path, rng: random.Random) -> SandboxConfig:
    logs = folder / "logs"
    logs.mkdir()
    return SandboxConfig(
        uid=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        name="build",
        namespace="",
        hostname="build",
        ip="",
        log_directory=logs,
        directory=folder / "sandbox",
        host_network=True,
        labels={OWNER_LABEL: BUILDER, PROCESS_LABEL: str(os.getpid())},
    )


async def _run(
    runtime: RuntimeService, store: ImageStore, step: Run, config: SandboxConfig, report: Callable[[str], None]
) -> Layer:
    log = config.log_directory / LOG
    events = _Events(runtime)  # before anything is made, so that no end is missed
    try:
        sandbox = await runtime.run_pod_sandbox(config)
        try:
            container = await runtime.create_container(sandbox, _container(step))
            await runtime.start_container(container)
            status = await events.until_exited(container, lambda: report(_last_line(log)))
            if status.exit_code != 0:
                raise RunFailure(_explained(status, output(log)))
            return await _layer(runtime, store, container)
        finally:
            await runtime.stop_pod_sandbox(sandbox)
            await runtime.remove_pod_sandbox(sandbox)
            await runtime.remove_tree(config.directory)
    finally:
        await events.close()


def _container(step: Run) -> ContainerConfig:
    return ContainerConfig(
        name="run",
        argv=step.argv,
        rootfs=step.rootfs,
        image="build",
        env=step.environment,
        cwd=step.workdir,
        uid=step.user.uid,
        gid=step.user.gid,
        groups=step.user.groups,
        mounts=step.mounts,
        log_path=LOG,
    )


class _Events:
    """The runtime's events as a signal to look again."""

    def __init__(self, runtime: RuntimeService) -> None:
        self._runtime = runtime
        self._events = runtime.events()
        self._next = asyncio.ensure_future(anext(self._events))

    async def until_exited(self, container: str, progress: Callable[[], None]) -> ContainerStatus:
        while True:
            status = await self._runtime.container_status(container)
            if status is not None and status.state is ContainerState.EXITED:
                return status
            done, _ = await asyncio.wait([self._next], timeout=FOLLOW_SECONDS)
            if done:
                self._next.result()
                self._next = asyncio.ensure_future(anext(self._events))
            progress()

    async def close(self) -> None:
        self._next.cancel()
        await asyncio.gather(self._next, return_exceptions=True)


async def _layer(runtime: RuntimeService, store: ImageStore, container: str) -> Layer:
    """The writable layer through a pipe, in a thread, while the runtime writes it; kept packed and unpacked."""
    reading, writing = os.pipe()
    draft = store.draft()

    def copy() -> None:
        with open(reading, "rb", buffering=0) as pipe:
            while data := pipe.read(CHUNK):
                draft.write(data)

    copied = asyncio.get_running_loop().run_in_executor(None, copy)
    try:
        try:
            await runtime.archive_upper(container, writing)
        finally:
            os.close(writing)
            await copied
        digest = await asyncio.to_thread(draft.commit)
        descriptor = Descriptor(LAYER, digest, draft.size)
        await asyncio.to_thread(store.unpack, descriptor, digest)  # not compressed: its digest is its diff id
    finally:
        draft.close()
    return descriptor, digest


async def sweep(runtime: RuntimeService) -> None:
    """Remove what builders that were killed left in the runtime."""
    for sandbox in await runtime.list_pod_sandboxes():
        labels = sandbox.config.labels
        if labels.get(OWNER_LABEL) == BUILDER and not _lives(labels.get(PROCESS_LABEL, "")):
            await runtime.stop_pod_sandbox(sandbox.id)
            await runtime.remove_pod_sandbox(sandbox.id)
            await runtime.remove_tree(sandbox.config.directory.parent)


def _lives(process: str) -> bool:
    return bool(process) and Path("/proc", process).exists()


def _explained(status: ContainerStatus, lines: Sequence[str]) -> str:
    shown = "\n".join(f"    {line}" for line in lines[-OUTPUT_LINES:])
    if status.reason == "OOMKilled":
        return f"the command was killed: out of memory\n{shown}"
    why = f": {status.message}" if status.message else ""
    return f"the command failed with exit code {status.exit_code}{why}" + (
        f"; it wrote last:\n{shown}" if shown else ""
    )


def output(log: Path) -> list[str]:
    """Lines of a CRI log without time and stream."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return []
    return [line.split(" ", 3)[3] for line in text.splitlines() if line.count(" ") >= 3]


def _last_line(log: Path) -> str:
    lines = output(log)
    return lines[-1][:100] if lines else "running"
