"""Verbs over a transport: get, list, create, update, patch, delete, watch of any resource.

Knows paths, query parameters and media types; knows no kind. It never retries: the caller knows whether
a retry is right. What comes back is shared with others (in process it is the stored object itself) and must not be
changed.
Every verb raises `StatusError` for what the server refuses and `ConnectionError` when there is no answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, TypeAlias

from wherry.api.types import GVR, Obj
from wherry.client.transport import Transport

PatchType: TypeAlias = Literal["merge", "strategic", "json"]
Propagation: TypeAlias = Literal["Background", "Foreground", "Orphan"]

PATCH_MEDIA_TYPES: dict[str, str] = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}


class Client:
    """The verbs. Namespaced resources need `namespace` (or, where an object is given, its metadata.namespace)."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    async def get(self, gvr: GVR, name: str, namespace: str | None = None, subresource: str | None = None) -> Obj:
        return await self.transport.request("GET", gvr.path(namespace, name, subresource))

    async def list(
        self,
        gvr: GVR,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
    ) -> Obj:
        """The List object: `items`, `metadata.resourceVersion`, and with `limit` perhaps `metadata.continue`."""
        query = _query(
            labelSelector=labels,
            fieldSelector=fields,
            limit=str(limit) if limit else "",
            resourceVersion=resource_version,
        )
        if continue_:
            query["continue"] = continue_
        return await self.transport.request("GET", gvr.path(namespace), query=query)

    async def create(
        self,
        gvr: GVR,
        obj: Obj,
        namespace: str | None = None,
        subresource: str | None = None,
        name: str | None = None,
        *,
        field_validation: str = "",
        field_manager: str = "",
    ) -> Obj:
        """POST; `name` and `subresource` say to what (`pods/NAME/binding`, `serviceaccounts/NAME/token`).

        With `field_validation="Strict"` an unknown field is an error instead of being dropped. `field_manager` is who
        owns the fields; by default the transport's User-Agent says.
        """
        namespace = namespace or obj.get("metadata", {}).get("namespace")
        query = _query(fieldValidation=field_validation, fieldManager=field_manager)
        return await self.transport.request("POST", gvr.path(namespace, name, subresource), query=query, body=obj)

    async def update(self, gvr: GVR, obj: Obj, subresource: str | None = None) -> Obj:
        """PUT under the object's own name; its metadata.resourceVersion, when set, must still be the newest."""
        metadata = obj["metadata"]
        path = gvr.path(metadata.get("namespace"), metadata["name"], subresource)
        return await self.transport.request("PUT", path, body=obj)

    async def patch(
        self,
        gvr: GVR,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        type: PatchType = "merge",
        subresource: str | None = None,
        field_validation: str = "",
        field_manager: str = "",
    ) -> Obj:
        """`patch` is a dict, for type `json` (RFC 6902) a list of operations; the other options as for `create`."""
        return await self.transport.request(
            "PATCH",
            gvr.path(namespace, name, subresource),
            query=_query(fieldValidation=field_validation, fieldManager=field_manager),
            body=patch,
            content_type=PATCH_MEDIA_TYPES[type],
        )

    async def delete(
        self,
        gvr: GVR,
        name: str,
        namespace: str | None = None,
        *,
        grace_seconds: int | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Propagation | None = None,
    ) -> Obj:
        """The answer is the object as it was deleted (or is being deleted), or a Status of success."""
        preconditions = {
            key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value is not None
        }
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if preconditions:
            options["preconditions"] = preconditions
        if propagation is not None:
            options["propagationPolicy"] = propagation
        return await self.transport.request("DELETE", gvr.path(namespace, name), body=options)

    async def delete_collection(
        self, gvr: GVR, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> Obj:
        query = _query(labelSelector=labels, fieldSelector=fields)
        return await self.transport.request("DELETE", gvr.path(namespace), query=query)

    def watch(
        self,
        gvr: GVR,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        labels: str = "",
        fields: str = "",
        bookmarks: bool = True,
    ) -> AbstractAsyncContextManager[AsyncIterator[Obj]]:
        """Watch events `{"type", "object"}` after `resource_version` until the server ends the stream, which it may do
        at any time. An event of type ERROR carries a Status (410: list again)."""
        query = _query(
            labelSelector=labels,
            fieldSelector=fields,
            resourceVersion=resource_version,
            allowWatchBookmarks="true" if bookmarks else "",
        )
        query["watch"] = "true"
        return self.transport.stream(gvr.path(namespace), query=query)


def _query(**parameters: str) -> dict[str, str]:
    return {key: value for key, value in parameters.items() if value}
