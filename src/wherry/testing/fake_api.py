"""An API server without rules, for tests of clients: verbs and watches over a memory storage, and faults on demand.

It stores what it is given: no defaults, no validation, no admission, no selectors but labels. Whoever needs those uses
the real one in process. It passes the same transport contract.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from wherry.api.errors import (
    MODIFIED,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    expired,
    method_not_allowed,
    not_found,
    path_not_found,
)
from wherry.api.labels import Selector
from wherry.api.types import GVR, Obj
from wherry.storage import errors
from wherry.storage.interface import Change, Watch
from wherry.storage.memory import MemoryStorage


@dataclass(frozen=True, slots=True)
class _Target:
    """What a path names."""

    gvr: GVR
    namespace: str
    name: str
    subresource: str

    @classmethod
    def parse(cls, path: str) -> _Target:
        parts = path.strip("/").split("/")
        if parts[0] not in ("api", "apis") or len(parts) < 3:
            raise path_not_found()
        group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        resource, name, subresource = [*rest, "", ""][:3]
        return cls(GVR(group, version, resource), namespace, name, subresource)

    @property
    def prefix(self) -> str:
        resource = f"/registry/{self.gvr.group or 'core'}/{self.gvr.resource}/"
        return f"{resource}{self.namespace}/" if self.namespace else resource

    @property
    def key(self) -> str:
        namespace = self.namespace or "-"
        return f"/registry/{self.gvr.group or 'core'}/{self.gvr.resource}/{namespace}/{self.name}"


class FakeApi:
    """`client.transport.Transport`. `requests` lists what was asked as (method, path), a watch with the method WATCH."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Exception] = []
        """Raised one by one instead of answering."""
        self._watches: dict[Watch, None] = {}
        self._broken: set[Watch] = set()
        self._closed = False

    # Faults

    def end_watches(self, *, broken: bool = False) -> None:
        """End every stream; `broken`: as a lost connection."""
        for watch in list(self._watches):
            if broken:
                self._broken.add(watch)
            watch.close()

    # The transport

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Obj:
        self._begin(method, path)
        target = _Target.parse(path)
        if method == "GET":
            return self._get(target) if target.name else self._list(target, query or {})
        if method == "POST":
            return await self._create(target, body)
        if method == "PUT":
            return await self._update(target, body)
        if method == "PATCH":
            if content_type not in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
                raise bad_request("this fake merges only")
            return await self._update(target, _merge(self._get(target), body))
        if method == "DELETE" and target.name:
            return await self._delete(target)
        if method == "DELETE":
            return await self._delete_all(target, query or {})
        raise method_not_allowed()

    def stream(
        self, path: str, *, query: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Obj]]:
        return self._stream(path, query or {})

    async def close(self) -> None:
        self._closed = True
        self.end_watches(broken=True)

    def _begin(self, method: str, path: str) -> None:
        if self._closed:
            raise ConnectionError("the transport is closed")
        self.requests.append((method, path))
        if self.faults:
            raise self.faults.pop(0)

    # Verbs

    def _get(self, target: _Target) -> Obj:
        entry = self.storage.get(target.key)
        if entry is None:
            raise not_found(target.gvr.resource, target.name, target.gvr.group)
        return entry.value

    def _list(self, target: _Target, query: Mapping[str, str]) -> Obj:
        selector = Selector.parse(query.get("labelSelector", ""))
        values = [entry.value for entry in self.storage.list(target.prefix)]
        items = [value for value in values if selector.matches(value["metadata"].get("labels"))]
        kind = items[0]["kind"] if items else target.gvr.resource.title().removesuffix("s")
        return {
            "kind": f"{kind}List",
            "apiVersion": target.gvr.api_version,
            "metadata": {"resourceVersion": str(self.storage.revision)},
            "items": items,
        }

    async def _create(self, target: _Target, obj: Obj) -> Obj:
        metadata = obj["metadata"]
        if not metadata.get("name"):
            metadata = {**metadata, "name": f"{metadata['generateName']}{self.storage.revision + 1:05}"}
        target = _Target(target.gvr, target.namespace, metadata["name"], "")
        if target.namespace:
            metadata = {**metadata, "namespace": target.namespace}
        metadata = {"uid": f"uid-{self.storage.revision + 1}", **metadata}
        try:
            return (await self.storage.create(target.key, {**obj, "metadata": metadata})).value
        except errors.AlreadyExists:
            raise already_exists(target.gvr.resource, target.name, target.gvr.group) from None

    async def _update(self, target: _Target, obj: Obj) -> Obj:
        old = self._get(target)
        if target.subresource:
            obj = {**old, target.subresource: obj.get(target.subresource), "metadata": obj["metadata"]}
        version = obj["metadata"].get("resourceVersion") or old["metadata"]["resourceVersion"]
        if version == old["metadata"]["resourceVersion"] and obj == old:
            return old
        try:
            return (await self.storage.update(target.key, obj, int(version))).value
        except errors.Conflict:
            raise conflict(target.gvr.resource, target.name, MODIFIED, target.gvr.group) from None

    async def _delete(self, target: _Target) -> Obj:
        old = self._get(target)
        return (await self.storage.delete(target.key, int(old["metadata"]["resourceVersion"]))).value

    async def _delete_all(self, target: _Target, query: Mapping[str, str]) -> Obj:
        found = self._list(target, query)
        for item in found["items"]:
            metadata = item["metadata"]
            await self._delete(_Target(target.gvr, metadata.get("namespace", ""), metadata["name"], ""))
        return found

    # Watches

    @asynccontextmanager
    async def _stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[AsyncIterator[Obj]]:
        self._begin("WATCH", path)
        target = _Target.parse(path)
        after = int(query.get("resourceVersion") or self.storage.revision)
        selector = Selector.parse(query.get("labelSelector", ""))
        try:
            watch = self.storage.watch(target.prefix, after)
        except (errors.Compacted, errors.FutureRevision):
            yield _error(expired(f"too old resource version: {after} ({self.storage.compacted})"))
            return
        self._watches[watch] = None
        try:
            yield self._events(watch, selector)
        finally:
            watch.close()
            del self._watches[watch]
            self._broken.discard(watch)

    async def _events(self, watch: Watch, selector: Selector) -> AsyncIterator[Obj]:
        try:
            async for change in watch:
                event = _event(change, selector)
                if event is not None:
                    yield event
        except errors.Overrun as error:
            async for event in _error(expired(str(error))):
                yield event
        if watch in self._broken:
            raise ConnectionError("the connection broke")


def _event(change: Change, selector: Selector) -> Obj | None:
    """What a watcher with the selector is told of a change."""
    now = change.type != "DELETED" and selector.matches(change.entry.value["metadata"].get("labels"))
    before = change.previous is not None and selector.matches(change.previous.value["metadata"].get("labels"))
    if now:
        return {"type": "MODIFIED" if before else "ADDED", "object": change.entry.value}
    return {"type": "DELETED", "object": change.entry.value} if before else None


async def _error(error: StatusError) -> AsyncIterator[Obj]:
    yield {"type": "ERROR", "object": error.to_status()}


def _merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged
