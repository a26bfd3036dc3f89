"""The only writer of pod status.

Keeps the newest status of every pod and makes the API agree with it: one writer per pod, only differences, only when there
are any. While a write is under way newer statuses replace each other, so a pod never has more than one waiting.
Always true: what `recorded` returns already contains everything this kubelet has decided, written or not.
"""

from __future__ import annotations

import asyncio
import logging
import random

from msgspec import Struct, field

from wherry.aio.clock import Clock
from wherry.api.errors import StatusError
from wherry.api.resources import PODS
from wherry.api.types import Obj
from wherry.client.rest import Client
from wherry.kubelet import pod_spec
from wherry.kubelet.pod_phase import OWN_CONDITIONS

log = logging.getLogger(__name__)

LAZY_SECONDS = 0.05
"""How long a status that only says "being created" may wait for a better one: most pods run sooner than this, and are
then written once instead of twice."""
RETRY_SECONDS_FIRST = 0.1
RETRY_SECONDS_MAX = 5.0
WRITES_MAX = 4  # at once: an API server on the same machine is not faster with more, each costs it a TLS handshake
OWN_FIELDS = (
    "phase",
    "observedGeneration",
    "reason",
    "message",
    "hostIP",
    "hostIPs",
    "podIP",
    "startTime",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "qosClass",
)


class _Entry(Struct):
    pod: Obj
    wanted: Obj
    written: Obj
    """What the API is known to hold of our fields."""
    lazy: bool = False
    finish: bool = False
    """Nothing of the pod is left on the node: delete it once its last status is written."""
    busy: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    revision: int = 0
    """Of our last write."""
    shown: Obj | None = None
    """The newest version that came while we were writing."""


class StatusManager:
    """`set` and `finish` return at once; `run` writes."""

    def __init__(self, client: Client, clock: Clock, rng: random.Random, writes_max: int = WRITES_MAX) -> None:
        self._client = client
        self._clock = clock
        self._rng = rng
        self._entries: dict[str, _Entry] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._slots = asyncio.Semaphore(writes_max)
        self.writes = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for uid in self._entries:
                self._start(uid)
            await asyncio.Event().wait()

    def recorded(self, pod: Obj) -> Obj:
        """The pod with the newest status this kubelet knows; conditions of others come from `pod` itself."""
        entry = self._entries.get(pod_spec.uid_of(pod))
        if entry is None:
            return pod
        status: Obj = {**(pod.get("status") or {}), **entry.wanted}
        for key in ("reason", "message"):
            if key not in entry.wanted:
                status.pop(key, None)
        ours = entry.wanted.get("conditions") or []
        theirs = (pod.get("status") or {}).get("conditions") or []
        own_types = {each["type"] for each in ours}
        status["conditions"] = [*ours, *(each for each in theirs if each.get("type") not in own_types)]
        return {**pod, "status": status}

    def set(self, pod: Obj, status: Obj, *, lazy: bool = False) -> None:
        """`status` is now true for `pod`. `lazy`: it may wait a moment for a better one."""
        uid = pod_spec.uid_of(pod)
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = _Entry(pod, status, dict(pod.get("status") or {}), lazy=lazy)
        elif entry.wanted == status:
            entry.pod = pod
            if entry.lazy and not lazy:
                entry.lazy = False
                entry.changed.set()
            return
        else:
            entry.pod, entry.wanted, entry.lazy = pod, status, lazy
            entry.changed.set()
        self._start(uid)

    def finish(self, pod: Obj) -> None:
        """Delete the pod object for good (grace 0), after its last status."""
        entry = self._entries.setdefault(
            pod_spec.uid_of(pod), _Entry(pod, dict(pod.get("status") or {}), dict(pod.get("status") or {}))
        )
        entry.finish, entry.lazy = True, False
        entry.changed.set()
        self._start(pod_spec.uid_of(pod))

    def shown(self, pod: Obj) -> None:
        """A newer version of the pod from the API. Where somebody else has written our fields (whoever gives a silent node
        up makes its pods not ready), what is true is written again; a phase that is final stays."""
        entry = self._entries.get(pod_spec.uid_of(pod))
        if entry is None or int(pod["metadata"]["resourceVersion"]) <= entry.revision or pod_spec.is_terminal(pod):
            return
        status = pod.get("status") or {}
        if entry.busy:
            entry.shown = pod
        elif difference(status, entry.wanted):
            entry.written = dict(status)
            self._start(pod_spec.uid_of(pod))

    def forget(self, uid: str) -> None:
        """The pod object is gone from the API."""
        entry = self._entries.pop(uid, None)
        if entry is not None:
            entry.changed.set()

    def statistics(self) -> dict[str, int]:
        return {"pods": len(self._entries), "writes": self.writes}

    def _start(self, uid: str) -> None:
        entry = self._entries[uid]
        if self._tasks is not None and not entry.busy:
            entry.busy = True
            self._tasks.create_task(self._agree(uid, entry), name=f"status {uid}")

    async def _agree(self, uid: str, entry: _Entry) -> None:
        try:
            await self._write_until_equal(uid, entry)
        finally:
            entry.busy = False
        shown, entry.shown = entry.shown, None
        if shown is not None:
            self.shown(shown)

    async def _write_until_equal(self, uid: str, entry: _Entry) -> None:
        retry = RETRY_SECONDS_FIRST
        while self._entries.get(uid) is entry:
            entry.changed.clear()
            if entry.lazy:
                await self._linger(entry)
                continue
            if not entry.finish and not difference(entry.written, entry.wanted):
                return
            try:
                async with self._slots:
                    await self._write(uid, entry)
            except StatusError as error:
                if await self._is_gone(uid, entry, error):
                    self._entries.pop(uid, None)
                    return
                if error.code == 422:
                    log.warning("status of pod %s refused: %s", uid, error)
                    entry.written = entry.wanted  # the next change is tried again
                    continue
                await self._pause(retry)
                retry = min(retry * 2, RETRY_SECONDS_MAX)
            except (ConnectionError, TimeoutError):
                await self._pause(retry)
                retry = min(retry * 2, RETRY_SECONDS_MAX)
            else:
                retry = RETRY_SECONDS_FIRST

    async def _is_gone(self, uid: str, entry: _Entry, error: StatusError) -> bool:
        """Whether a refusal means that the pod does not exist any more, or that another one has its name."""
        if error.code != 409:
            return error.code == 404
        try:
            found = await self._client.get(PODS, pod_spec.name_of(entry.pod), pod_spec.namespace_of(entry.pod))
        except StatusError as refused:
            return refused.code == 404
        except (ConnectionError, TimeoutError):
            return False
        log.info("status of pod %s: %s; trying again", uid, error)
        return pod_spec.uid_of(found) != uid

    async def _linger(self, entry: _Entry) -> None:
        try:
            async with asyncio.timeout(LAZY_SECONDS):
                await entry.changed.wait()
        except TimeoutError:
            entry.lazy = False

    async def _write(self, uid: str, entry: _Entry) -> None:
        name, namespace = pod_spec.name_of(entry.pod), pod_spec.namespace_of(entry.pod)
        # Both from one moment: while this waited for its turn a newer status may have come.
        wanted = entry.wanted
        patch = difference(entry.written, wanted)
        if patch:
            body = {"metadata": {"uid": uid}, "status": patch}
            answer = await self._client.patch(PODS, name, body, namespace, type="strategic", subresource="status")
            entry.written, entry.revision = wanted, int(answer["metadata"]["resourceVersion"])
            self.writes += 1
        if entry.finish and entry.wanted is wanted:
            await self._client.delete(PODS, name, namespace, grace_seconds=0, uid=uid)
            self._entries.pop(uid, None)

    async def _pause(self, seconds: float) -> None:
        await self._clock.sleep(seconds * (0.5 + self._rng.random()))


def difference(written: Obj, wanted: Obj) -> Obj:
    """A strategic merge patch of `status` that makes our fields of `written` equal to `wanted`; empty when they are."""
    patch: Obj = {}
    for key in OWN_FIELDS:
        if wanted.get(key) != written.get(key):
            patch[key] = wanted.get(key)
    before = {each.get("type"): each for each in written.get("conditions") or ()}
    changed = [
        dict.fromkeys(before.get(each["type"], ()), None) | each  # a reason that no longer holds must go
        for each in wanted.get("conditions") or ()
        if each["type"] in OWN_CONDITIONS and before.get(each["type"]) != each
    ]
    if changed:
        patch["conditions"] = changed
    if wanted.get("podIPs") != written.get("podIPs"):
        now = wanted.get("podIPs") or []
        stale = [each["ip"] for each in written.get("podIPs") or () if each not in now]
        patch["podIPs"] = [*now, *({"$patch": "delete", "ip": address} for address in stale)]
    return patch
