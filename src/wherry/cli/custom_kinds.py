"""Kinds that are not built in: what the system serves of them, and when a definition just applied counts.

Asks discovery, as kubectl does. Unlike kubectl, who applies a definition and its objects together need not wait in between.
"""

from __future__ import annotations

import asyncio

from wherry.api.errors import StatusError, is_not_found
from wherry.api.scheme import Resource
from wherry.api.types import GVR, Obj
from wherry.client.rest import Client

DEFINITIONS = GVR("apiextensions.k8s.io", "v1", "customresourcedefinitions")
ESTABLISHED_SECONDS = 10
"""A definition is named within milliseconds; after this long it has a conflict to be looked at."""


async def find(client: Client, api_version: str, kind: str) -> Resource | None:
    """The resource of a kind as discovery has it, None where nothing is. Raises StatusError."""
    group, slash, version = api_version.partition("/")
    if not slash:
        return None  # the core group has no custom kinds
    try:
        listed = await client.transport.request("GET", f"/apis/{group}/{version}")
    except StatusError as error:
        if is_not_found(error):
            return None
        raise
    for entry in listed.get("resources") or ():
        if entry["kind"] == kind and "/" not in entry["name"]:
            verbs = tuple(entry.get("verbs") or ())
            singular = entry.get("singularName") or kind.lower()
            return Resource(group, version, entry["name"], singular, kind, entry["namespaced"], verbs)
    return None


async def established(client: Client, definition: Obj) -> None:
    """Return once the definition is served, refused its names, or the patience ends."""
    metadata = definition["metadata"]
    try:
        async with asyncio.timeout(ESTABLISHED_SECONDS):
            while not _settled(definition):
                fields, version = f"metadata.name={metadata['name']}", metadata["resourceVersion"]
                async with client.watch(DEFINITIONS, resource_version=version, fields=fields) as stream:
                    async for event in stream:
                        if event["type"] == "MODIFIED" and _settled(event["object"]):
                            return
    except TimeoutError:
        return


def _settled(definition: Obj) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(
        (each["type"], each["status"]) in (("Established", "True"), ("NamesAccepted", "False")) for each in conditions
    )
