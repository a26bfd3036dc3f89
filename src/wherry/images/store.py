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
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from wherry.images import layers
from wherry.images.reference import Reference
from wherry.images.rootfs import Image, RootFS

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
BASE_LABEL = "wherry.dev/base"
"""Image label: what lies below the layers. `host` is the machine's own file system."""
HOST_REPOSITORY = "wherry.dev/host"
HOST_ID = "sha256:" + hashlib.sha256(HOST_REPOSITORY.encode()).hexdigest()
CHUNK = 1 << 20


class StoreError(Exception):
    """A blob is missing or is not what its digest says; the text names it."""


@dataclass(frozen=True, slots=True)
class Descriptor:
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
    """One folder; made when it is first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: tuple[tuple[int, int], dict[str, str]] = ((0, 0), {})
        self._images: dict[str, Image] = {}

    # --- blobs

    def blob(self, digest: str) -> Path:
        algorithm, _, hexadecimal = digest.partition(":")
        return self.root / "blobs" / algorithm / hexadecimal

    def has(self, digest: str) -> bool:
        return self.blob(digest).exists()

    def read(self, digest: str) -> bytes:
        """Raises StoreError."""
        try:
            return self.blob(digest).read_bytes()
        except FileNotFoundError:
            raise StoreError(f"blob {digest} is not in the image store") from None

    def put(self, data: bytes, media_type: str) -> Descriptor:
        with self.writing() as file:
            file.write(data)
        return Descriptor(media_type, file.digest, len(data))

    def put_json(self, value: Any, media_type: str) -> Descriptor:
        return self.put(json.dumps(value, separators=(",", ":"), sort_keys=True).encode(), media_type)

    @contextlib.contextmanager
    def writing(self, expected: str = "") -> Iterator[BlobWriter]:
        """A new blob, kept when the block ends well. Raises StoreError when it is not `expected`."""
        with self.temporary() as folder:
            path = folder / "blob"
            with path.open("wb") as file:
                writer = BlobWriter(file)
                yield writer
                file.flush()
                os.fsync(file.fileno())
            if expected and writer.digest != expected:
                raise StoreError(f"expected a blob with digest {expected}, what came has {writer.digest}")
            target = self.blob(writer.digest)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.replace(path, target)

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Path]:
        """A folder on the store's file system, removed afterwards."""
        parent = self.root / "tmp"
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = Path(tempfile.mkdtemp(dir=parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # --- layers

    def layer(self, diff_id: str) -> Path:
        return self.root / "layers" / diff_id.partition(":")[2]

    def unpack(self, descriptor: Descriptor, diff_id: str) -> Path:
        """The layer as a directory, unpacked once. Raises StoreError, LayerError."""
        target = self.layer(diff_id)
        if target.exists():
            return target
        with self.temporary() as folder:
            with self.blob(descriptor.digest).open("rb") as file:
                found = layers.unpack(file, descriptor.media_type, folder / "layer")
            if found != diff_id:
                raise StoreError(f"layer {descriptor.digest}: expected diff id {diff_id}, it is {found}")
            self._adopt(folder / "layer", target)
        return target

    def adopt_layer(self, tree: Path, diff_id: str) -> Path:
        """Take over a directory on the store's file system that already is the layer (the builder's)."""
        return self._adopt(tree, self.layer(diff_id))

    def _adopt(self, tree: Path, target: Path) -> Path:
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
        path = self.root / "names.json"
        try:
            status = path.stat()
        except FileNotFoundError:
            return {}
        stamp = (status.st_mtime_ns, status.st_ino)
        if self._names[0] != stamp:
            self._names = (stamp, json.loads(path.read_text()))
            self._images.clear()
        return self._names[1]

    def tag(self, name: str, manifest_digest: str) -> None:
        self._change(lambda names: names.update({name: manifest_digest}))

    def untag(self, name: str) -> bool:
        """Whether there was such a name."""
        return self._change(lambda names: names.pop(name, None) is not None)

    def _change(self, edit: Callable[[dict[str, str]], Any]) -> bool:
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.root / "names.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            names = dict(self.names())
            result = edit(names)
            draft = self.root / "names.tmp"
            draft.write_text(json.dumps(names, indent=1, sort_keys=True))
            os.replace(draft, self.root / "names.json")
            self._names = ((0, 0), {})
        return bool(result)

    # --- images

    def find(self, reference: str) -> str | None:
        """The manifest digest of a name, `NAME@DIGEST`, or an image id (`sha256:…`, also its first characters)."""
        names = self.names()
        if reference in names:
            return names[reference]
        hexadecimal = reference.removeprefix("sha256:")
        if len(hexadecimal) >= 6 and set(hexadecimal) <= set("0123456789abcdef"):
            for digest in names.values():
                if hexadecimal in (digest[7:], self.image_of(digest).id[7 : 7 + len(hexadecimal)]):
                    return digest
        parsed = Reference.parse(reference)
        if parsed.digest:
            same = (name for name, digest in names.items() if digest == parsed.digest)
            if any(Reference.parse(name).repository == parsed.repository for name in same):
                return parsed.digest
        return None

    def image(self, reference: str) -> Image | None:
        """Ready to run, or None when it is not here. Raises InvalidReference, StoreError."""
        parsed = Reference.parse(reference)
        if parsed.repository == HOST_REPOSITORY:
            return Image(HOST_ID, (reference,), RootFS(host=True), 0, {}, HOST_ID)
        digest = self.find(reference)
        return self.image_of(digest) if digest else None

    def image_of(self, digest: str) -> Image:
        """The image of a manifest. Raises StoreError."""
        known = self._images.get(digest)
        if known is None:
            known = self._images[digest] = self._load(digest)
        return known

    def images(self) -> list[Image]:
        return [self.image_of(digest) for digest in dict.fromkeys(self.names().values())]

    def manifest(self, digest: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.read(digest))
        return found

    def add(self, config: dict[str, Any], descriptors: list[Descriptor]) -> str:
        """Write config and manifest of an image whose layers are here; the manifest's digest."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.put_json(config, CONFIG).to_dict(),
            "layers": [descriptor.to_dict() for descriptor in descriptors],
        }
        return self.put_json(manifest, MANIFEST).digest

    def _load(self, digest: str) -> Image:
        manifest = self.manifest(digest)
        config = json.loads(self.read(manifest["config"]["digest"]))
        descriptors = [Descriptor.of(entry) for entry in manifest["layers"]]
        diff_ids = config.get("rootfs", {}).get("diff_ids") or []
        if len(diff_ids) != len(descriptors):
            raise StoreError(f"image {digest}: {len(descriptors)} layers, but {len(diff_ids)} diff ids")
        trees = [self.unpack(*pair) for pair in zip(descriptors, diff_ids, strict=True)]
        settings = config.get("config") or {}
        host = (settings.get("Labels") or {}).get(BASE_LABEL) == "host"
        names = tuple(name for name, value in self.names().items() if value == digest)
        size = sum(descriptor.size for descriptor in descriptors) + int(manifest["config"].get("size", 0))
        rootfs = RootFS(tuple(reversed(trees)), host=host)
        return Image(manifest["config"]["digest"], names, rootfs, size, settings, digest)


class BlobWriter:
    """Counts and hashes what it writes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"
