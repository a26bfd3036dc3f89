"""What a pod costs, against starting a plain process, interleaved on the same machine at the same time.

    python -m benchmarks.sandbox [ROUNDS]

Read the last column: how many times a plain `Popen(["/bin/true"]).wait()` each step takes. Both tiers when run as root.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from wherry.cri.interface import ContainerConfig, SandboxConfig
from wherry.cri.service import LinuxRuntime
from wherry.images.rootfs import RootFS
from wherry.testing.launcher_process import LauncherProcess, tiers

STEPS = ("sandbox", "container", "both", "exec", "exec -t", "kill", "remove")


class Times:
    """Milliseconds of every step."""

    def __init__(self) -> None:
        self._steps: dict[str, list[float]] = {}

    def add(self, step: str, seconds: float) -> None:
        self._steps.setdefault(step, []).append(seconds * 1e3)

    def quantile(self, step: str, part: float) -> float:
        found = sorted(self._steps[step])
        return found[min(int(len(found) * part), len(found) - 1)]


def small_image(folder: Path) -> Path:
    """An image with `sleep` and `true`."""
    for program in ("/bin/sleep", "/bin/true"):
        linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.split()
        for file in (program, *(word for word in linked if word.startswith("/"))):
            target = folder / file.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    return folder


async def measure(launcher: LauncherProcess, rootfs: RootFS, rounds: int) -> Times:
    runtime = LinuxRuntime(launcher.socket, random.Random(1))
    times = Times()
    for number in range(rounds):
        begin = time.perf_counter()
        subprocess.Popen(["/bin/true"]).wait()
        times.add("popen", time.perf_counter() - begin)
        await _life(launcher, runtime, rootfs, number, times)
    runtime.close()
    return times


async def _life(launcher: LauncherProcess, runtime: LinuxRuntime, rootfs: RootFS, number: int, times: Times) -> None:
    folder = launcher.state / f"p{number}"
    config = SandboxConfig("u", "p", "bench", "p", "10.244.0.9", folder / "logs", folder / "pod")
    main = ContainerConfig("c", ("/bin/sleep", "1000"), rootfs, "bench:v1", log_path="c/0.log")
    marks = [time.perf_counter()]

    def mark(step: str) -> None:
        marks.append(time.perf_counter())
        times.add(step, marks[-1] - marks[-2])

    sandbox = await runtime.run_pod_sandbox(config)
    mark("sandbox")
    container = await runtime.create_container(sandbox, main)
    await runtime.start_container(container)
    mark("container")
    times.add("both", marks[2] - marks[0])
    await runtime.exec_sync(container, ["/bin/true"], 60)
    mark("exec")
    session = await runtime.exec(container, ["/bin/true"], tty=True, stdin=True)
    mark("exec -t")
    await session.wait()
    session.close()
    marks.append(time.perf_counter())
    await runtime.stop_container(container, 0)
    mark("kill")
    await runtime.remove_pod_sandbox(sandbox)
    mark("remove")


def rows(rounds: int = 40) -> Iterator[tuple[str, ...]]:
    """(step, p50, p90, times a plain process) for each tier and kind of root."""
    for tier, user in tiers():
        launcher = LauncherProcess(tier, user=user, folder="/var/tmp")
        try:
            image = small_image(launcher.state / "image")
            for name, rootfs in (("image", RootFS((image,))), ("host", RootFS(host=True))):
                times = asyncio.run(measure(launcher, rootfs, rounds))
                popen = times.quantile("popen", 0.5)
                yield (f"{tier}, {name} root; a plain process", f"{popen:.2f} ms", "p90", "x plain")
                for step in STEPS:
                    middle, high = times.quantile(step, 0.5), times.quantile(step, 0.9)
                    yield (f"  {step}", f"{middle:.2f} ms", f"{high:.2f} ms", f"{middle / popen:.1f}")
        finally:
            launcher.close()


def main(rounds: int = 40) -> None:
    for name, *values in rows(rounds):
        print(f"{name:<46}" + "".join(f"{value:>14}" for value in values), flush=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
