"""The local image store: content-addressed blobs, names, and layers unpacked ready for overlayfs.

    blobs/sha256/HEX    manifests, configs and layers as they were made or pulled
    layers/HEX          a layer unpacked, by its diff id (the digest of its uncompressed tar)
    names.json          name -> manifest digest

Several processes use it at once: blobs and layers appear by rename only, names change under a lock. What a name leads to
is complete: its manifest, config, layers, all unpacked.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from wherry.images import layers
from wherry.images.blobs import BlobDraft, Blobs, StoreError, private, temporary
from wherry.images.names import Names
from wherry.images.reference import Reference
from wherry.images.rootfs import Image, RootFS

__all__ = ["Descriptor", "ImageStore", "StoreError"]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = f"{LAYER}+gzip"
BASE_LABEL = "wherry.dev/base"
"""Image label: what lies below the layers. `host` is the machine's own file system."""
HOST_REPOSITORY = "wherry.dev/host"
HOST_ID = "sha256:" + hashlib.sha256(HOST_REPOSITORY.encode()).hexdigest()
SHORT_ID_MIN = 6  # fewer characters of an id are more likely to be a name


class Descriptor(Struct, frozen=True):
    """What a manifest says of a blob (OCI content descriptor)."""

    media_type: str
    digest: str
    size: int

    def to_dict(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}

    @classmethod
    def of(cls, value: dict[str, Any]) -> Descriptor:
        return cls(value.get("mediaType", ""), value["digest"], int(value.get("size", 0)))


class ImageStore:
    """One folder; made when it is first written to. Safe from several threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = Blobs(root)
        self._names = Names(root)
        self._images: dict[str, Image] = {}

    # --- blobs

    def has(self, digest: str) -> bool:
        return self.blobs.has(digest)

    def read(self, digest: str) -> bytes:
        """Raises StoreError."""
        return self.blobs.read(digest)

    def put(self, data: bytes, media_type: str) -> Descriptor:
        return Descriptor(media_type, self.blobs.put(data), len(data))

    def put_json(self, value: Any, media_type: str) -> Descriptor:
        return self.put(json.dumps(value, separators=(",", ":"), sort_keys=True).encode(), media_type)

    def draft(self) -> BlobDraft:
        return self.blobs.draft()

    def temporary(self) -> AbstractContextManager[Path]:
        """A folder on the store's file system, removed afterwards."""
        return temporary(self.root)

    @contextlib.contextmanager
    def using(self) -> Iterator[None]:
        """While it is held nothing is collected: a build's layers have no name yet."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """For the collector. Raises BlockingIOError while somebody is `using` the store."""
        with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield

    @contextlib.contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self.root / "store.lock", "w", opener=private) as lock:
            fcntl.flock(lock, kind)
            yield

    # --- layers

    def layer(self, diff_id: str) -> Path:
        """Raises StoreError for what is no digest."""
        return self.root / "layers" / self.blobs.path(diff_id).name

    def unpack(self, descriptor: Descriptor, diff_id: str) -> Path:
        """The layer as a directory, unpacked once. Raises StoreError, LayerError."""
        target = self.layer(diff_id)
        if target.exists():
            return target
        if not self.has(descriptor.digest):
            raise StoreError(
                f"layer {descriptor.digest} is not in the image store: build, load or pull the image again"
            )
        with self.temporary() as folder:
            with self.blobs.path(descriptor.digest).open("rb") as file:
                found = layers.unpack(file, descriptor.media_type, folder / "layer")
            if found != diff_id:
                raise StoreError(f"layer {descriptor.digest}: expected diff id {diff_id}, it is {found}")
            return self.adopt_layer(folder / "layer", diff_id)

    def adopt_layer(self, tree: Path, diff_id: str) -> Path:
        """Take over a directory on the store's file system that already is the layer."""
        target = self.layer(diff_id)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            tree.rename(target)
        except OSError:
            if not target.exists():  # else another process was faster with the same content
                raise
        return target

    # --- names

    def names(self) -> dict[str, str]:
        """Name -> manifest digest."""
        return self._names.all()

    def tag(self, name: str, manifest_digest: str) -> None:
        """A name already given to it costs nothing."""
        if self.names().get(name) != manifest_digest:
            with self._names.changing() as names:
                names[name] = manifest_digest

    def untag(self, name: str) -> bool:
        """Whether there was such a name."""
        with self._names.changing() as names:
            return names.pop(name, None) is not None

    # --- images

    def find(self, reference: str) -> str | None:
        """The manifest digest of a name, `NAME@DIGEST`, or an image id (`sha256:…`, also its first characters)."""
        names = self.names()
        if reference in names:
            return names[reference]
        if found := self._by_id(reference.removeprefix("sha256:")):
            return found
        parsed = Reference.parse(reference)
        if parsed.digest:
            same = (name for name, digest in names.items() if digest == parsed.digest)
            if any(Reference.parse(name).repository == parsed.repository for name in same):
                return parsed.digest
        return None

    def _by_id(self, hexadecimal: str) -> str | None:
        """Of the image's id or its manifest's digest; None as well when several images begin so."""
        if len(hexadecimal) < SHORT_ID_MIN or set(hexadecimal) - set("0123456789abcdef"):
            return None
        found = set()
        for digest in set(self.names().values()):
            image_id = self.manifest(digest)["config"]["digest"].removeprefix("sha256:")
            if image_id.startswith(hexadecimal) or digest.removeprefix("sha256:").startswith(hexadecimal):
                found.add(digest)
        return found.pop() if len(found) == 1 else None

    def image(self, reference: str) -> Image | None:
        """Ready to run, or None when it is not here. Raises InvalidReference, StoreError, LayerError."""
        digest = self.names().get(reference)
        if digest is None:
            if "@" not in reference and reference.partition(":")[0] == HOST_REPOSITORY:
                Reference.parse(reference)
                return Image(HOST_ID, (reference,), RootFS(host=True), 0, {}, HOST_ID)
            digest = self.find(reference)
        return self.image_of(digest) if digest else None

    def image_of(self, digest: str) -> Image:
        """The image of a manifest, its layers unpacked if they were not. Raises StoreError, LayerError."""
        known = self._images.get(digest)
        if known is None or not all(path.exists() for path in known.rootfs.layers):
            known = self._images[digest] = self._load(digest)
        return replace(known, names=tuple(name for name, value in self.names().items() if value == digest))

    def images(self) -> list[Image]:
        """Every image that has a name. One that is damaged is left out: `image` says what is wrong with it."""
        found = []
        for digest in dict.fromkeys(self.names().values()):
            with contextlib.suppress(StoreError, layers.LayerError):
                found.append(self.image_of(digest))
        return found

    def manifest(self, digest: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.read(digest))
        return found

    def image_config(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """The OCI image configuration a manifest names."""
        found: dict[str, Any] = json.loads(self.read(manifest["config"]["digest"]))
        return found

    def layers_of(self, manifest: dict[str, Any]) -> list[tuple[Descriptor, str]]:
        """(descriptor, diff id) of each layer, lowest first. Raises StoreError."""
        descriptors = [Descriptor.of(entry) for entry in manifest["layers"]]
        diff_ids = (self.image_config(manifest).get("rootfs") or {}).get("diff_ids") or []
        if len(diff_ids) != len(descriptors):
            raise StoreError(f"the image has {len(descriptors)} layers, but {len(diff_ids)} diff ids")
        return list(zip(descriptors, diff_ids, strict=True))

    def add(self, config: dict[str, Any], descriptors: list[Descriptor]) -> str:
        """Write config and manifest of an image whose layers are here; the manifest's digest."""
        manifest = manifest_of(self.put_json(config, CONFIG), descriptors)
        return self.put_json(manifest, MANIFEST).digest

    def _load(self, digest: str) -> Image:
        manifest = self.manifest(digest)
        pairs = self.layers_of(manifest)
        trees = [self.unpack(*pair) for pair in pairs]
        settings = self.image_config(manifest).get("config") or {}
        host = (settings.get("Labels") or {}).get(BASE_LABEL) == "host"
        size = sum(descriptor.size for descriptor, _ in pairs) + int(manifest["config"].get("size", 0))
        rootfs = RootFS(tuple(reversed(trees)), host=host)
        return Image(manifest["config"]["digest"], (), rootfs, size, settings, digest)


def manifest_of(config: Descriptor, layers: list[Descriptor]) -> dict[str, Any]:
    """An OCI image manifest."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.to_dict(),
        "layers": [descriptor.to_dict() for descriptor in layers],
    }
