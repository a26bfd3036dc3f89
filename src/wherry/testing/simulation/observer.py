"""Watches the API as a client does that never fails, and keeps everything it was told: what checkers judge by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wherry.aio.clock import Clock
from wherry.api.errors import StatusError
from wherry.api.resources import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    IP_ADDRESSES,
    JOBS,
    NAMESPACES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
    SERVICES,
    STATEFUL_SETS,
)
from wherry.api.types import GVR, Obj
from wherry.client.rest import Client
from wherry.testing.simulation.process import Process

WATCHED = (
    NAMESPACES,
    NODES,
    PODS,
    CONFIG_MAPS,
    SERVICES,
    RESOURCE_QUOTAS,
    ENDPOINT_SLICES,
    IP_ADDRESSES,
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    DAEMON_SETS,
    JOBS,
    CRON_JOBS,
    POD_DISRUPTION_BUDGETS,
)
AGAIN_SECONDS = 0.05
Key = tuple[GVR, str, str]
"""(resource, namespace, name)"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One event of a watch, at a virtual second; `old` is what was known of the object before."""

    revision: int
    at: float
    type: str
    key: Key
    obj: Obj
    old: Obj | None


class Observer:
    """`failed` is told what no watch may do."""

    def __init__(self, client: Client, clock: Clock, failed: Callable[[str], None]) -> None:
        self._client = client
        self._clock = clock
        self._failed = failed
        self.now: dict[Key, Obj] = {}
        self.first: dict[Key, Obj] = {}
        """What there was at the beginning."""
        self.events: list[Seen] = []
        self.listed: dict[GVR, int] = {}
        """How far each watch has come."""
        self.began = 0
        """The revision from which on every watch has told everything."""

    async def begin(self, process: Process) -> None:
        """Return when everything there is has been listed."""
        for gvr in WATCHED:
            answer = await self._client.list(gvr)
            for obj in answer["items"]:
                self.first[_key(gvr, obj)] = self.now[_key(gvr, obj)] = obj
            self.listed[gvr] = self.began = int(answer["metadata"]["resourceVersion"])
            process.run(self._follow(gvr), f"watch of {gvr.qualified}")

    async def _follow(self, gvr: GVR) -> None:
        while True:
            try:
                revision = str(self.listed[gvr])
                async with self._client.watch(gvr, resource_version=revision, bookmarks=False) as events:
                    async for event in events:
                        if _is_gone(event):
                            await self._list_again(gvr)
                            break
                        self._take(gvr, event)
            except ConnectionError:
                pass
            except StatusError as error:
                self._failed(f"watch of {gvr.qualified} from {self.listed[gvr]} refused: {error.code} {error}")
            await self._clock.sleep(AGAIN_SECONDS)

    async def _list_again(self, gvr: GVR) -> None:
        """The server is back and has forgotten where this watch stood, since so much else happened: then nothing may have
        happened here, for as long as the server was there the watch told it."""
        answer = await self._client.list(gvr)
        listed = {_key(gvr, obj): version(obj) for obj in answer["items"]}
        known = {key: version(obj) for key, obj in self.now.items() if key[0] == gvr}
        if listed != known:
            self._failed(f"watch of {gvr.qualified} from {self.listed[gvr]} was too old, and did not tell everything")
        self.listed[gvr] = int(answer["metadata"]["resourceVersion"])

    def _take(self, gvr: GVR, event: Obj) -> None:
        obj, kind = event["object"], event["type"]
        if kind == "ERROR":
            self._failed(f"watch of {gvr.qualified} from {self.listed[gvr]} ended: {obj.get('message')}")
            return
        revision, key = int(obj["metadata"]["resourceVersion"]), _key(gvr, obj)
        if revision <= self.listed[gvr]:
            self._failed(f"watch of {gvr.qualified}: revision {revision} after {self.listed[gvr]}")
        old = self.now.get(key)
        if (kind == "ADDED") != (old is None):
            self._failed(
                f"watch of {gvr.qualified}: {kind} of {key[1]}/{key[2]}, which was {'not ' * (old is None)}there"
            )
        self.events.append(Seen(revision, self._clock.monotonic(), kind, key, obj, old))
        self.listed[gvr] = revision
        if kind == "DELETED":
            self.now.pop(key, None)
        else:
            self.now[key] = obj

    async def differences(self) -> list[str]:
        """What a list says otherwise than the replayed watch; call it when nothing happens any more."""
        found: list[str] = []
        for gvr in WATCHED:
            answer = await self._client.list(gvr)
            listed = {_key(gvr, obj): obj for obj in answer["items"]}
            known = {key: obj for key, obj in self.now.items() if key[0] == gvr}
            for key in sorted({*listed, *known}, key=str):
                ours, theirs = known.get(key), listed.get(key)
                if _plain(ours) != _plain(theirs):
                    found.append(
                        f"{gvr.qualified} {key[1]}/{key[2]}: the list has {version(theirs)}, the watch told {version(ours)}"
                    )
        return found


def _is_gone(event: Obj) -> bool:
    return bool(event["type"] == "ERROR" and event["object"].get("code") == 410)


def _key(gvr: GVR, obj: Obj) -> Key:
    metadata = obj["metadata"]
    return gvr, metadata.get("namespace", ""), metadata["name"]


def _plain(obj: Obj | None) -> Any:
    return None if obj is None else {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


def version(obj: Obj | None) -> str:
    return "nothing" if obj is None else f"revision {obj['metadata']['resourceVersion']}"
