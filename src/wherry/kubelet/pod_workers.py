"""The pods of this node and their workers: one ordered worker per pod, different pods side by side."""

from __future__ import annotations

import asyncio
import logging

from wherry.api.types import Obj
from wherry.kubelet import pod_spec
from wherry.kubelet.parts import Parts
from wherry.kubelet.pod_worker import PodWorker

log = logging.getLogger(__name__)


class PodWorkers:
    """Everything but `run` returns at once. A worker lives until its pod is gone from the API and from the node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._workers: dict[str, PodWorker] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for worker in self._workers.values():
                tasks.create_task(self._work(worker), name=f"pod {worker.uid}")
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    def pod_changed(self, pod: Obj) -> None:
        """The API has this pod, new or changed."""
        uid = pod_spec.uid_of(pod)
        worker = self._workers.get(uid)
        if worker is not None:
            worker.update(pod)
            self._parts.volumes.update(pod)
        else:
            self._begin(PodWorker(pod, self._parts))

    def pod_gone(self, pod: Obj) -> None:
        """The API no longer has this pod."""
        uid = pod_spec.uid_of(pod)
        self._parts.status.forget(uid)
        worker = self._workers.get(uid)
        if worker is None:
            return
        worker.pod = pod if pod_spec.is_deleted(pod) else worker.pod
        worker.remove()

    def orphan(self, pod: Obj) -> None:
        """The runtime has a pod that the API has not: it was deleted while we were away."""
        if pod_spec.uid_of(pod) not in self._workers:
            worker = PodWorker(pod, self._parts)
            worker.remove()
            self._begin(worker)

    def evict(self, uid: str, message: str, grace: float) -> asyncio.Event | None:
        """End a pod that the node has no room for; None when it is over, else what is set once it has ended."""
        worker = self._workers.get(uid)
        return worker.evict(message, grace) if worker is not None else None

    def wake(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()

    def noticed(self, uid: str, container: str, text: str) -> None:
        """A program of the pod asked for what it cannot have here."""
        worker = self._workers.get(uid)
        if worker is not None:
            self._parts.events.warning(worker.pod, "NotSupported", text, container)

    def reconsider(self, namespace: str) -> None:
        """What is enforced of pods there may differ from now on."""
        for worker in self._workers.values():
            if pod_spec.namespace_of(worker.pod) == namespace:
                worker.reconsider()

    def wake_waiting(self, namespace: str) -> None:
        """An object has appeared or changed in a namespace: pods that could not start may now."""
        for worker in self._workers.values():
            if pod_spec.namespace_of(worker.pod) == namespace:
                worker.retry_now()

    def pods(self) -> list[Obj]:
        """Pods with the newest status this kubelet knows."""
        return [self._parts.status.recorded(worker.pod) for worker in self._workers.values()]

    def find(self, namespace: str, name: str) -> Obj | None:
        """A pod by name; of several (one ending, one new) the one that is not ending."""
        found = [
            worker
            for worker in self._workers.values()
            if pod_spec.name_of(worker.pod) == name and pod_spec.namespace_of(worker.pod) == namespace
        ]
        found.sort(key=lambda worker: worker.is_ending)
        return self._parts.status.recorded(found[0].pod) if found else None

    def uids(self) -> set[str]:
        return set(self._workers)

    def statistics(self) -> dict[str, int]:
        return {"workers": len(self._workers)}

    def _begin(self, worker: PodWorker) -> None:
        self._workers[worker.uid] = worker
        if self._tasks is not None:
            self._tasks.create_task(self._work(worker), name=f"pod {worker.uid}")

    async def _work(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        finally:
            self._workers.pop(worker.uid, None)
