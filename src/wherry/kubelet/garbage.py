"""What is left behind and removed: dead containers beyond the last one, old sandboxes, and everything of deleted pods.

One dead container of each name is kept while its pod exists, for `kubectl logs --previous` and lastState.
"""

from __future__ import annotations

import logging
from pathlib import Path

from wherry.api.types import Obj
from wherry.cri.interface import ContainerState, RuntimeService
from wherry.kubelet import pod_spec
from wherry.kubelet.config import NodeConfig
from wherry.kubelet.observation import PodSeen
from wherry.kubelet.pleg import Pleg
from wherry.kubelet.remove import TreeRemover

log = logging.getLogger(__name__)

DEAD_CONTAINERS_KEPT = 1


class Garbage:
    def __init__(self, config: NodeConfig, runtime: RuntimeService, pleg: Pleg, trees: TreeRemover) -> None:
        self._trees = trees
        self._config = config
        self._runtime = runtime
        self._pleg = pleg

    async def remove_old_containers(self, pod: Obj, seen: PodSeen, name: str) -> None:
        """Keep the newest container of that name and one dead one before it, with their logs."""
        for container in seen.containers.get(name, ())[1 + DEAD_CONTAINERS_KEPT :]:
            if container.state is ContainerState.EXITED:
                await self._runtime.remove_container(container.id)
                await self._pleg.refresh_container(container.id)
                logs = self._config.log_directory(
                    pod_spec.namespace_of(pod), pod_spec.name_of(pod), pod_spec.uid_of(pod)
                )
                for file in (logs / name).glob(f"{container.config.attempt}.log*"):
                    file.unlink(missing_ok=True)

    async def remove_sandbox(self, uid: str, sandbox_id: str) -> None:
        """A sandbox that has been replaced, with its containers once they are no longer the last of their name."""
        seen = self._pleg.pod(uid)
        newest = {found[0].id for found in seen.containers.values()}
        inside = [each for each in seen.every() if each.sandbox_id == sandbox_id]
        if any(each.id in newest for each in inside):
            return  # still needed for lastState and the restart count: it goes when they have been replaced
        await self._remove(sandbox_id, [each.id for each in inside])

    async def remove_pod(self, pod: Obj) -> None:
        """Everything of a pod that is over: containers, sandboxes, directories, logs."""
        uid = pod_spec.uid_of(pod)
        await self.remove_runtime(uid)
        logs = self._config.log_directory(pod_spec.namespace_of(pod), pod_spec.name_of(pod), uid)
        await self._trees.remove([self._config.pod_directory(uid), logs])

    async def remove_runtime(self, uid: str) -> None:
        seen = self._pleg.pod(uid)
        for sandbox in seen.sandboxes:
            await self._remove(sandbox.id, [each.id for each in seen.every() if each.sandbox_id == sandbox.id])

    async def _remove(self, sandbox_id: str, containers: list[str]) -> None:
        for container_id in containers:
            await self._runtime.remove_container(container_id)
            await self._pleg.refresh_container(container_id)
        await self._runtime.stop_pod_sandbox(sandbox_id)
        await self._runtime.remove_pod_sandbox(sandbox_id)
        await self._pleg.refresh_sandboxes()

    async def sweep(self, known: set[str]) -> None:
        """Directories of pods that neither the API nor the runtime knows: left by a kill at a bad moment."""
        kept = known | self._pleg.uids()
        stale = [path for path in _children(self._config.pods_directory) if path.name not in kept]
        stale += [path for path in _children(self._config.logs_directory) if path.name.rpartition("_")[2] not in kept]
        if stale:
            await self._trees.remove(stale)


def _children(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []
