"""Sandboxes that are nobody's pod, such as the image builder's, are not the kubelet's to see or to end."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from wherry.aio.clock import RealClock
from wherry.cri.fake import FakeRuntime
from wherry.cri.interface import OWNER_LABEL, SandboxConfig
from wherry.kubelet.pleg import Pleg


def config(folder: Path, uid: str, **labels: str) -> SandboxConfig:
    return SandboxConfig(uid, uid, "default", uid, "", folder / uid / "logs", folder / uid / "sandbox", labels=labels)


async def test_only_pods_are_seen(tmp_path):
    runtime = FakeRuntime(RealClock(), random.Random(1))
    changed: list[str] = []
    await runtime.run_pod_sandbox(config(tmp_path, "pod"))
    await runtime.run_pod_sandbox(config(tmp_path, "build", **{OWNER_LABEL: "builder"}))
    pleg = Pleg(runtime, RealClock(), random.Random(1), changed.append)
    running = asyncio.ensure_future(pleg.run())
    await pleg.wait_synced()
    later = await runtime.run_pod_sandbox(config(tmp_path, "later", **{OWNER_LABEL: "builder"}))
    await runtime.stop_pod_sandbox(later)
    await pleg.refresh_sandboxes()
    assert pleg.uids() == {"pod"}
    assert set(changed) == {"pod"}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await runtime.close()
