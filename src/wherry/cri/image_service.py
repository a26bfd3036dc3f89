"""CRI's ImageService over the local store. The pull policy is the kubelet's business; here an image is there, comes, or not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from wherry.aio import authorities
from wherry.cri.interface import RegistryAuth, RuntimeFailure
from wherry.images.layers import LayerError
from wherry.images.reference import InvalidReference, Reference
from wherry.images.rootfs import Image
from wherry.images.store import HOST_REPOSITORY, ImageStore, StoreError


class StoreImageService:
    """`cri.interface.ImageService`."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._pulls: dict[str, asyncio.Task[Image]] = {}

    async def image_status(self, reference: str) -> Image | None:
        try:
            return await asyncio.to_thread(self._store.image, reference)  # it reads files, and may have to unpack
        except InvalidReference as error:
            raise RuntimeFailure("InvalidImageName", _invalid(reference, error)) from None
        except (StoreError, LayerError) as error:
            raise RuntimeFailure("ImageInspectError", str(error)) from None

    async def pull_image(self, reference: str, auths: Mapping[str, RegistryAuth]) -> Image:
        """Pods that want the same image at once share one pull."""
        task = self._pulls.get(reference)
        if task is None:
            task = self._pulls[reference] = asyncio.ensure_future(self._pull(reference, auths))
            task.add_done_callback(lambda _: self._pulls.pop(reference, None))
        return await asyncio.shield(task)

    async def _pull(self, reference: str, auths: Mapping[str, RegistryAuth]) -> Image:
        try:
            parsed = Reference.parse(reference)
            if not parsed.host or parsed.repository == HOST_REPOSITORY:
                image = await asyncio.to_thread(self._store.image, reference)
                if image is not None:  # names without a host are the local store's own: there is nobody to ask
                    return image
            return await asyncio.to_thread(self._store.image_of, await self._fetch(parsed, auths))
        except InvalidReference as error:
            raise RuntimeFailure("InvalidImageName", _invalid(reference, error)) from None
        except (StoreError, LayerError) as error:
            raise RuntimeFailure("ErrImagePull", str(error)) from None

    async def _fetch(self, reference: Reference, auths: Mapping[str, RegistryAuth]) -> str:
        """From its registry; the digest."""
        with authorities.none_read():  # many a node never asks a registry: an HTTP client is loaded when one does
            from wherry.images.pull import PullFailure, pull
        credentials = {host: (auth.username, auth.password) for host, auth in auths.items()}
        try:
            return await pull(self._store, reference, credentials)
        except PullFailure as error:
            raise RuntimeFailure("ErrImagePull", str(error)) from None

    async def list_images(self) -> Sequence[Image]:
        return await asyncio.to_thread(self._store.images)

    async def remove_image(self, reference: str) -> None:
        """The name; what it stood for goes with the next collection."""
        await asyncio.to_thread(self._store.untag, reference)


def _invalid(reference: str, error: InvalidReference) -> str:
    """In the runtimes' words, with what exactly is wrong; the kubelet says what it was about to do."""
    return f'couldn\'t parse image name "{reference}": invalid reference format: {error}'
