"""What a test asks of a cluster, by kinds' names instead of groups and versions. Async, over any client.

Objects are apply'd by the server (server-side apply, conflicts forced): the same object twice changes nothing. What comes
back is the caller's own copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from wherry.api.errors import StatusError, is_not_found
from wherry.api.resources import EVENTS
from wherry.api.scheme import Resource
from wherry.api.types import Obj
from wherry.apiserver.drafts import draft
from wherry.client.rest import Client, PatchType, Propagation
from wherry.testing import kinds
from wherry.testing.manifests import Manifest, objects_of

Objs: TypeAlias = list[Obj]
APPLY = "application/apply-patch+yaml"
DEFINITION = "CustomResourceDefinition"


@dataclass(frozen=True, slots=True)
class Verbs:
    """`resources` are those served at the moment; `pause` lets a little time pass."""

    client: Client
    resources: Callable[[], Iterable[Resource]]
    pause: Callable[[], Any]
    manager: str = "wherry-testing"
    namespace: str = "default"

    async def apply(self, manifest: Manifest, namespace: str | None = None) -> list[Obj]:
        """Each object as the API answered. One with only a generateName is created."""
        return [await self._apply(each, namespace) for each in objects_of(manifest)]

    async def _apply(self, obj: Obj, namespace: str | None) -> Obj:
        resource = kinds.of_object(self.resources(), obj.get("apiVersion", ""), obj.get("kind", ""))
        metadata = obj.get("metadata") or {}
        where = self._where(resource, namespace or metadata.get("namespace"))
        if resource.namespaced:
            obj = {**obj, "metadata": {**metadata, "namespace": where}}
        if not metadata.get("name") and metadata.get("generateName"):
            created = await self.client.create(resource.gvr, obj, where, field_validation="Strict")
            return _own(created)
        path = resource.gvr.path(where, metadata.get("name", ""))
        query = {"fieldManager": self.manager, "force": "true", "fieldValidation": "Strict"}
        applied = await self.client.transport.request("PATCH", path, query=query, body=obj, content_type=APPLY)
        if resource.kind == DEFINITION:
            while not is_true(applied, "Established") and not is_true(applied, "NamesAccepted", "False"):
                await self.pause()
                applied = await self.client.get(resource.gvr, metadata["name"])
        return _own(applied)

    async def get(self, kind: str, name: str, namespace: str | None = None) -> Obj:
        """Raises StatusError (404)."""
        resource = self.find(kind)
        return _own(await self.client.get(resource.gvr, name, self._where(resource, namespace)))

    async def find_one(self, kind: str, name: str, namespace: str | None = None) -> Obj | None:
        """None where `get` raises 404."""
        try:
            return await self.get(kind, name, namespace)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise

    async def list(self, kind: str, namespace: str | None = None, labels: str = "", fields: str = "") -> list[Obj]:
        """`namespace="*"`: of all namespaces."""
        resource = self.find(kind)
        where = None if namespace == "*" else self._where(resource, namespace)
        found = await self.client.list(resource.gvr, where, labels=labels, fields=fields)
        typed = {"apiVersion": resource.api_version, "kind": resource.kind}
        return [_own({**typed, **each}) for each in found["items"]]

    async def delete(
        self, kind: str, name: str, namespace: str | None, grace_seconds: int | None, propagation: Propagation | None
    ) -> None:
        """Returns when the API has taken the request. Raises StatusError."""
        resource = self.find(kind)
        where = self._where(resource, namespace)
        await self.client.delete(resource.gvr, name, where, grace_seconds=grace_seconds, propagation=propagation)

    async def patch(
        self, kind: str, name: str, patch: Any, namespace: str | None, type: PatchType, subresource: str | None
    ) -> Obj:
        resource = self.find(kind)
        where = self._where(resource, namespace)
        return _own(await self.client.patch(resource.gvr, name, patch, where, type=type, subresource=subresource))

    async def events(self, kind: str, name: str, namespace: str | None) -> Objs:
        """About one object, in the order of their last writing."""
        resource = self.find(kind)
        where = self._where(resource, namespace) or "default"
        fields = f"involvedObject.kind={resource.kind},involvedObject.name={name}"
        found = await self.client.list(EVENTS, where, fields=fields)
        return [_own(one) for one in sorted(found["items"], key=written)]

    def find(self, kind: str) -> Resource:
        """Raises UnknownKind."""
        return kinds.find(self.resources(), kind)

    def _where(self, resource: Resource, namespace: str | None) -> str | None:
        return (namespace or self.namespace) if resource.namespaced else None


def written(obj: Obj) -> int:
    """For sorting: of everything stored, in what order it was written last."""
    return int(obj["metadata"]["resourceVersion"])


def is_true(obj: Obj, condition: str, status: str = "True") -> bool:
    """Whether a condition has that status, and is about the object as it is now."""
    about = obj.get("status") or {}
    if about.get("observedGeneration", obj["metadata"].get("generation")) != obj["metadata"].get("generation"):
        return False
    return any(each["type"] == condition and each["status"] == status for each in about.get("conditions") or ())


def _own(obj: Obj) -> Obj:
    """Storage hands out what everybody shares."""
    copy: Obj = draft(obj)
    return copy
