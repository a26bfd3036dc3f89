"""The files of an image archive: each read once, hashed, and taken into the store when an image needs it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct

from wherry.images import platform
from wherry.images.distribution import INDEXES, MANIFEST_BYTES_MAX
from wherry.images.layers import CHUNK, GZIP_MAGIC
from wherry.images.store import CONFIG, LAYER, LAYER_GZIP, MANIFEST, Descriptor, ImageStore, StoreError, manifest_of

FILES_MAX = 20_000  # an archive of some hundred images; more is no image archive
LINKS_MAX = 8


class ArchiveError(Exception):
    """Not an image archive, or one that is damaged; the text says what is missing."""


class File(Struct, frozen=True):
    """A file on the store's file system, free to be moved into it; `digest` is of what it holds."""

    path: Path
    digest: str
    size: int


class Manifest(Struct, frozen=True):
    digest: str
    content: dict[str, Any]


class Bundle:
    """What was read, by name; links are names of others."""

    def __init__(self, store: ImageStore, files: dict[str, File], links: dict[str, str]) -> None:
        self._store, self._files, self._links = store, files, links

    def has(self, name: str) -> bool:
        return name in self._files or name in self._links

    def digest(self, name: str) -> str:
        return self._file(name).digest

    def json(self, name: str) -> Any:
        file = self._file(name)
        if file.size > MANIFEST_BYTES_MAX:
            raise ArchiveError(f"{name} is larger than 4 MiB")
        try:
            return json.loads(file.path.read_bytes())
        except ValueError as error:
            raise ArchiveError(f"{name} is not JSON: {error}") from None

    def manifest(self, descriptor: dict[str, Any]) -> Manifest:
        """What an entry of an index leads to, for this machine."""
        digest = str(descriptor.get("digest"))
        content = self.json(self._blob(digest))
        kind = str(content.get("mediaType") or descriptor.get("mediaType"))
        if kind in INDEXES or "manifests" in content:
            entries = content.get("manifests") or []
            chosen = platform.choose(entries, platform.architecture())
            if chosen is None:
                wanted = f"linux/{platform.architecture()}"
                raise ArchiveError(f"no variant for {wanted}; the image has {platform.named(entries)}")
            return self.manifest(dict(chosen))
        if "config" not in content or "layers" not in content:
            raise ArchiveError(f"{digest} is not an image manifest (media type {kind!r})")
        return Manifest(digest, content)

    def take(self, manifest: Manifest) -> str:
        """Into the store with all its blobs; the manifest's digest."""
        for entry in (manifest.content["config"], *manifest.content["layers"]):
            self._keep(self._blob(str(entry["digest"])))
        self._keep(self._blob(manifest.digest))
        return manifest.digest

    def take_files(self, config: str, layers: list[str]) -> str:
        """An image of the older form, which has no manifest: one is made."""
        descriptors = []
        for name in layers:
            file = self._file(name)
            with file.path.open("rb") as content:
                media_type = LAYER_GZIP if content.read(2) == GZIP_MAGIC else LAYER
            descriptors.append(Descriptor(media_type, file.digest, file.size))
        made = self._file(config)
        manifest = manifest_of(Descriptor(CONFIG, made.digest, made.size), descriptors)
        for name in (config, *layers):
            self._keep(name)
        return self._store.put_json(manifest, MANIFEST).digest

    def _keep(self, name: str) -> None:
        file = self._file(name)
        if not self._store.has(file.digest):
            self._store.blobs.adopt(file.path, file.digest)

    def _blob(self, digest: str) -> str:
        """The name of a blob's file, which must hold what its name says; what the store has need not be in the archive."""
        name = "blobs/" + digest.replace(":", "/")
        if not self.has(name) and self._store.has(digest):
            path = self._store.blobs.path(digest)
            self._files[name] = File(path, digest, path.stat().st_size)
        if self._file(name).digest != digest:
            raise ArchiveError(f"{name} is damaged: it has digest {self._file(name).digest}")
        return name

    def _file(self, name: str) -> File:
        at = name
        for _ in range(LINKS_MAX):
            if at in self._files:
                return self._files[at]
            if at not in self._links:
                break
            at = self._links[at]
        raise ArchiveError(f"{name} is missing from the archive")


@contextlib.contextmanager
def unbundled(store: ImageStore, source: Path | BinaryIO) -> Iterator[Bundle]:
    """The files of an archive or of a layout's folder; gone afterwards unless they were taken. Raises ArchiveError."""
    with store.temporary() as folder:
        try:
            if isinstance(source, Path) and source.is_dir():
                yield Bundle(store, _copied(source, folder), {})
                return
            with contextlib.ExitStack() as stack:
                file = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
                archive = stack.enter_context(tarfile.open(fileobj=file, mode="r|*"))
                yield Bundle(store, *_extracted(archive, folder))
        except tarfile.TarError as error:
            raise ArchiveError(f"it is not a tar archive: {error}") from None
        except (KeyError, TypeError, AttributeError) as error:
            raise ArchiveError(f"it is not an image archive: {type(error).__name__} {error}") from None
        except StoreError as error:
            raise ArchiveError(str(error)) from None


def _extracted(archive: tarfile.TarFile, folder: Path) -> tuple[dict[str, File], dict[str, str]]:
    files: dict[str, File] = {}
    links: dict[str, str] = {}
    for number, member in enumerate(archive):
        if number > FILES_MAX:
            raise ArchiveError(f"it has more than {FILES_MAX} files: it is not an image archive")
        name = posixpath.normpath(member.name)
        if member.isfile():
            content = archive.extractfile(member)
            assert content is not None, "a regular file has content"
            files[name] = _hashed(content, folder / str(number))
        elif member.issym():
            links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        elif member.islnk():
            links[name] = posixpath.normpath(member.linkname)
    return files, links


def _copied(source: Path, folder: Path) -> dict[str, File]:
    """Of an OCI layout: copies, since what is taken is moved."""
    files = {}
    names = [name for name in ("index.json", "manifest.json") if (source / name).is_file()]
    blobs = source / "blobs" / "sha256"
    names += [f"blobs/sha256/{name}" for name in (os.listdir(blobs) if blobs.is_dir() else ())]
    for number, name in enumerate(names):
        with (source / name).open("rb") as content:
            files[name] = _hashed(content, folder / str(number))
    return files


def _hashed(content: Any, path: Path) -> File:
    total, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        while data := content.read(CHUNK):
            total.update(data)
            size += file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return File(path, f"sha256:{total.hexdigest()}", size)
