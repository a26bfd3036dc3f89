"""An image from its registry into the store: manifest, configuration, and the layers this machine lacks, side by side.

Nothing becomes visible before it is complete: the name is given last, to an image whose layers are unpacked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from wherry.images import credentials as login
from wherry.images import platform
from wherry.images.distribution import INDEXES, MANIFESTS, RegistryFailure, Repository
from wherry.images.layers import LayerError
from wherry.images.reference import InvalidReference, Reference
from wherry.images.registries import NoRegistry, Registries
from wherry.images.store import Descriptor, ImageStore, StoreError

LAYERS_AT_ONCE = 3  # as containerd and Docker: more connections to one host gain nothing


class PullFailure(Exception):
    """The image could not be fetched; the text names the host, why, and what to do. The caller names the image."""


async def pull(store: ImageStore, reference: Reference, credentials: Mapping[str, tuple[str, str]]) -> str:
    """The digest of the image's manifest; the store then knows it under `reference` as it is written.

    `credentials` are (user, password) by registry host, preferred to this machine's own. Raises PullFailure.
    """
    if not reference.tag and not reference.digest:
        raise PullFailure(f"its name has no tag: write the version, as in {reference}:1.2")
    try:
        place = Registries.load(os.environ).place(reference)
        found = await login.find(place.reference.host, credentials, os.environ)
        async with _using(store):
            async with Repository(place.reference, found, insecure=place.insecure) as repository:
                digest, manifest = await _manifest(repository, place.reference, store)
                await _layers(repository, manifest, store)
            await asyncio.to_thread(store.image_of, digest)
            await asyncio.to_thread(store.tag, str(reference), digest)
    except (NoRegistry, InvalidReference, RegistryFailure, StoreError, LayerError) as error:
        raise PullFailure(str(error)) from error
    return digest


@contextlib.asynccontextmanager
async def _using(store: ImageStore) -> AsyncIterator[None]:
    """Waits in a thread while the collector has the store."""
    with contextlib.ExitStack() as held:
        await _in_thread(held.enter_context, store.using())
        yield


async def _manifest(repository: Repository, at: Reference, store: ImageStore) -> tuple[str, dict[str, Any]]:
    """The manifest for this machine, stored, and its digest; an index leads to it."""
    data, media_type = await repository.manifest(at.digest or at.tag)
    manifest = _json(data, media_type)
    if _kind(manifest, media_type) in INDEXES:
        entries = manifest.get("manifests") or []
        entry = platform.choose(entries, platform.architecture())
        if entry is None:
            raise RegistryFailure(
                f"no variant for linux/{platform.architecture()}; the image has {platform.named(entries)}"
            )
        data, media_type = await repository.manifest(str(entry["digest"]))
        manifest = _json(data, media_type)
    kind = _kind(manifest, media_type)
    if kind not in MANIFESTS:
        raise RegistryFailure(f"the manifest has media type {kind!r}: only OCI and Docker schema 2 images are read")
    return (await asyncio.to_thread(store.put, data, kind)).digest, manifest


def _json(data: bytes, media_type: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        raise RegistryFailure(f"the manifest is not JSON (media type {media_type!r})") from None
    if not isinstance(found, dict):
        raise RegistryFailure("the manifest is not a JSON object")
    return found


def _kind(manifest: Mapping[str, Any], media_type: str) -> str:
    """Its own media type; registries of plain files answer with a general one."""
    return str(manifest.get("mediaType") or media_type)


async def _layers(repository: Repository, manifest: Mapping[str, Any], store: ImageStore) -> None:
    """Configuration and layers; a blob that is here is not fetched again."""
    try:
        config, layers = Descriptor.of(manifest["config"]), [Descriptor.of(entry) for entry in manifest["layers"]]
    except (KeyError, TypeError, ValueError):
        raise RegistryFailure("the manifest has no config and layers") from None
    room = asyncio.Semaphore(LAYERS_AT_ONCE)

    async def fetch(descriptor: Descriptor) -> None:
        async with room:
            await _blob(repository, descriptor, store)

    tasks = [asyncio.ensure_future(fetch(each)) for each in dict.fromkeys((config, *layers))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _blob(repository: Repository, descriptor: Descriptor, store: ImageStore) -> None:
    """Written in a thread: hashing and the disk must not hold up whoever shares this loop."""
    if store.has(descriptor.digest):
        return
    async with repository.blob(descriptor.digest) as chunks:
        draft = store.draft()
        try:
            async for data in chunks:
                await _in_thread(draft.write, data)
                if draft.size > descriptor.size:
                    raise RegistryFailure(
                        f"blob {descriptor.digest} is larger than the {descriptor.size} bytes announced"
                    )
            await _in_thread(draft.commit, descriptor.digest)
        finally:
            draft.close()


async def _in_thread(function: Callable[..., object], *arguments: object) -> None:
    """As asyncio.to_thread, but when we are cancelled the thread ends first: it must not write what is being removed."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise
