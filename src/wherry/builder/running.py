"""RUN: a command in a sandbox over the layers so far; what it wrote becomes the next layer.

The sandbox shares the machine's own network: a build fetches, it does not serve. Nothing of it stays when it fails.
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wherry.cri.interface import (
    ContainerConfig,
    ContainerState,
    ContainerStatus,
    Mount,
    RuntimeFailure,
    RuntimeService,
    SandboxConfig,
)
from wherry.images.layers import LayerError
from wherry.images.rootfs import RootFS
from wherry.images.store import LAYER, Descriptor, ImageStore

LABELS = {"wherry.dev/owner": "builder"}
"""The kubelet leaves sandboxes with another owner alone."""
OUTPUT_LINES = 20  # shown when a step fails


class RunFailure(Exception):
    """The command failed, or could not be run; the text has the last lines it wrote."""


@dataclass(frozen=True, slots=True)
class Run:
    """One RUN, expanded."""

    argv: Sequence[str]
    rootfs: RootFS
    environment: Mapping[str, str]
    workdir: str
    uid: int = 0
    gid: int = 0
    mounts: Sequence[Mount] = ()


async def run(
    runtime: RuntimeService, store: ImageStore, step: Run, rng: random.Random, report: Callable[[str], None]
) -> tuple[Descriptor, str]:
    """The layer (descriptor, diff id) of what the command wrote. Raises RunFailure."""
    with store.temporary() as folder:
        config = SandboxConfig(
            uid=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            name="build",
            namespace="",
            hostname="build",
            ip="",
            log_directory=folder / "logs",
            directory=folder / "sandbox",
            host_network=True,
            labels=LABELS,
        )
        config.log_directory.mkdir()
        try:
            sandbox = await runtime.run_pod_sandbox(config)
            try:
                return await _run_in(runtime, store, sandbox, step, config.log_directory, report)
            finally:
                await runtime.stop_pod_sandbox(sandbox)
                await runtime.remove_pod_sandbox(sandbox)
                await runtime.remove_tree(folder / "sandbox")
        except (RuntimeFailure, LayerError) as error:
            raise RunFailure(str(error)) from error
        except ConnectionError as error:
            raise RunFailure(f"the launcher does not answer ({error}): start the system with `wherry up`") from error


async def _run_in(
    runtime: RuntimeService,
    store: ImageStore,
    sandbox: str,
    step: Run,
    logs: Path,
    report: Callable[[str], None],
) -> tuple[Descriptor, str]:
    container = await runtime.create_container(
        sandbox,
        ContainerConfig(
            name="run",
            argv=step.argv,
            rootfs=step.rootfs,
            image="build",
            env=step.environment,
            cwd=step.workdir,
            uid=step.uid,
            gid=step.gid,
            mounts=step.mounts,
            log_path="run.log",
        ),
    )
    status = await _until_exited(runtime, container, lambda: report(_last_line(logs / "run.log")))
    if status.exit_code != 0:
        lines = "\n".join(f"    {line}" for line in output(logs / "run.log")[-OUTPUT_LINES:])
        raise RunFailure(f"exit code {status.exit_code}{f': {status.message}' if status.message else ''}\n{lines}")
    with store.writing() as writer:
        await _archive(runtime, container, writer.write)
    descriptor = Descriptor(LAYER, writer.digest, writer.size)
    await asyncio.to_thread(store.unpack, descriptor, writer.digest)
    return descriptor, writer.digest  # an uncompressed layer's digest is its diff id


async def _until_exited(runtime: RuntimeService, container: str, progress: Callable[[], None]) -> ContainerStatus:
    """Start it and follow the runtime's events until it has ended."""
    events = runtime.events()
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)  # subscribed before it starts, so that no end is missed
    try:
        await runtime.start_container(container)
        while True:
            status = await runtime.container_status(container)
            if status is not None and status.state is ContainerState.EXITED:
                return status
            done, _ = await asyncio.wait([waiting], timeout=1.0)  # the pause is for progress, not for the end
            if done:
                waiting.result()
                waiting = asyncio.ensure_future(anext(events))
            progress()
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def _archive(runtime: RuntimeService, container: str, write: Callable[[bytes], int]) -> None:
    """Read the writable layer through a pipe, in a thread, while the runtime writes it."""
    reading, writing = os.pipe()

    def copy() -> None:
        with open(reading, "rb", buffering=1 << 20) as pipe:
            while data := pipe.read(1 << 20):
                write(data)

    copied = asyncio.get_running_loop().run_in_executor(None, copy)
    try:
        await runtime.archive_upper(container, writing)
    finally:
        os.close(writing)
        await copied


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
