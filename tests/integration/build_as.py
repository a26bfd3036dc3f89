"""Builds images as the user who is named, in a process of its own: orders as JSON lines on stdin, results on stdout.

An ordinary user cannot read root's interpreter, so everything is imported before the process becomes that user.
"""

from __future__ import annotations

import asyncio
import bz2
import concurrent.futures.thread
import encodings.idna
import json
import lzma
import os
import pwd
import random
import sys
from pathlib import Path
from typing import Any

from wherry.builder.build import Build, Builder, BuildFailure
from wherry.builder.running import sweep
from wherry.cri.service import LinuxRuntime
from wherry.images.store import ImageStore

PRELOADED = (bz2, concurrent.futures.thread, encodings.idna, lzma)


def become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = entry.pw_dir


async def build(order: dict[str, Any], builder: Builder) -> dict[str, Any]:
    context = Path(order["context"])
    request = Build(context, context / "Dockerfile", "image", order.get("target", ""), order.get("arguments", {}))
    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        print(json.dumps({"line": line}), flush=True)

    try:
        built = await builder(request, report)
    except BuildFailure as error:
        return {"failure": str(error), "lines": lines}
    if order.get("tag"):
        await built.tag(order["tag"])
    image = built.image
    layers = [str(layer) for layer in image.rootfs.layers]
    return {
        "id": image.id,
        "cached": built.cached,
        "lines": lines,
        "layers": layers,
        "host": image.rootfs.host,
        "config": image.config,
    }


async def main(state: Path, socket: Path) -> None:
    rng = random.Random()
    runtime = LinuxRuntime(socket, rng)

    async def connected() -> LinuxRuntime:
        await sweep(runtime)
        return runtime

    builder = Builder(ImageStore(state / "images"), connected, rng, {"PATH": os.environ["PATH"]})
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps({"result": await build(json.loads(line), builder)}), flush=True)
    runtime.close()


if __name__ == "__main__":
    if sys.argv[3:]:
        become(sys.argv[3])
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
