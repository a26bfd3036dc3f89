"""What pods use, measured when somebody wants to know: memory as the runtime says it, disk by walking what they wrote.

Nobody pays for it before a threshold is met. Files that only a container's own users may see are not counted.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from wherry.api.types import Obj
from wherry.cri.interface import RuntimeService
from wherry.kubelet import pod_spec
from wherry.kubelet.config import NodeConfig
from wherry.kubelet.eviction.ranking import PodUsage
from wherry.kubelet.eviction.thresholds import INODES, MEMORY
from wherry.kubelet.pleg import Pleg

BLOCK_BYTES = 512  # of st_blocks, whatever the file system (stat(2))


class Usage:
    """Of pods of this node."""

    def __init__(self, config: NodeConfig, runtime: RuntimeService, pleg: Pleg) -> None:
        self._config = config
        self._runtime = runtime
        self._pleg = pleg

    async def of(self, signal: str, pods: Sequence[Obj]) -> dict[str, PodUsage]:
        """By uid, of what that signal is about. A pod of which nothing runs uses no memory. Raises RuntimeFailure,
        ConnectionError."""
        if signal == MEMORY:
            return await self._memory(pods)
        return await asyncio.to_thread(self._disk, signal, pods)

    async def _memory(self, pods: Sequence[Obj]) -> dict[str, PodUsage]:
        samples = {each.container_id: each.memory_working_set_bytes for each in await self._runtime.stats()}
        found: dict[str, PodUsage] = {}
        for pod in pods:
            alive = self._pleg.pod(pod_spec.uid_of(pod)).alive()
            containers = {each.config.name: samples[each.id] for each in alive if each.id in samples}
            found[pod_spec.uid_of(pod)] = PodUsage(sum(containers.values()), containers)
        return found

    def _disk(self, signal: str, pods: Sequence[Obj]) -> dict[str, PodUsage]:
        """Volumes, writable layers and logs; in a thread."""
        found: dict[str, PodUsage] = {}
        for pod in pods:
            uid = pod_spec.uid_of(pod)
            logs = self._config.log_directory(pod_spec.namespace_of(pod), pod_spec.name_of(pod), uid)
            sizes = [_size(each) for each in (self._config.pod_directory(uid), logs)]
            total = sum(inodes if signal == INODES else used for used, inodes in sizes)
            found[uid] = PodUsage(total, {})
        return found


def _size(root: Path) -> tuple[int, int]:
    """(bytes on the disk, inodes) below a directory, on its file system; what cannot be read counts for nothing."""
    used = inodes = 0
    try:
        device = root.lstat().st_dev
    except OSError:
        return 0, 0
    waiting = [str(root)]
    while waiting:
        for entry in _entries(waiting.pop()):
            try:
                about = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if about.st_dev == device:
                used, inodes = used + about.st_blocks * BLOCK_BYTES, inodes + 1
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return used, inodes


def _entries(path: str) -> Iterable[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError:
        return ()
