"""Images in one file or folder: what `docker save`, podman, skopeo and ctr write, and the OCI image layout.

Written is a tar that is both at once, as Docker itself writes since version 25: an OCI layout with a `manifest.json` for
those that read the older form. Read is each of the two, plain or compressed, from a file, a pipe or a folder. Nothing is
believed: blobs are known by the digest of what came, not by their file names.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from wherry.images.reference import InvalidReference, Reference
from wherry.images.store import ImageStore, StoreError
from wherry.images.unbundling import ArchiveError, Bundle, unbundled

INDEX = "application/vnd.oci.image.index.v1+json"
LAYOUT = json.dumps({"imageLayoutVersion": "1.0.0"}).encode()
NAME_ANNOTATION = "io.containerd.image.name"
REF_ANNOTATION = "org.opencontainers.image.ref.name"


def save(store: ImageStore, references: Sequence[str], output: BinaryIO) -> None:
    """One tar with the images. Raises ArchiveError for a name that is not here, InvalidReference, StoreError."""
    with tarfile.open(fileobj=output, mode="w|", format=tarfile.PAX_FORMAT) as archive:

        def add(name: str, content: BinaryIO, size: int) -> None:
            info = tarfile.TarInfo(name)
            info.size, info.mode = size, 0o644
            archive.addfile(info, content)

        _write(store, references, add)


def save_layout(store: ImageStore, references: Sequence[str], folder: Path) -> None:
    """The same as files of a folder, which must be new or empty. Raises as `save`."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ArchiveError(f"{folder} is not empty")

    def add(name: str, content: BinaryIO, size: int) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(content, file)

    _write(store, references, add)


def _write(store: ImageStore, references: Sequence[str], add: Callable[[str, BinaryIO, int], None]) -> None:
    chosen = [_chosen(store, reference) for reference in references]
    legacy, entries, blobs = [], [], dict[str, None]()
    for name, digest in chosen:
        manifest = store.manifest(digest)
        layers = [str(layer["digest"]) for layer in manifest["layers"]]
        config = str(manifest["config"]["digest"])
        blobs.update(dict.fromkeys((digest, config, *layers)))
        parsed = Reference.parse(name) if name else None
        tagged = [name] if parsed and parsed.tag and not parsed.digest else []
        legacy.append({"Config": _path(config), "RepoTags": tagged or None, "Layers": [_path(each) for each in layers]})
        entry = {"mediaType": manifest["mediaType"], "digest": digest, "size": store.blobs.path(digest).stat().st_size}
        if parsed and tagged:
            entry["annotations"] = {NAME_ANNOTATION: name, REF_ANNOTATION: parsed.tag}
        entries.append(entry)
    for digest in blobs:
        with store.blobs.path(digest).open("rb") as content:
            add(_path(digest), content, store.blobs.path(digest).stat().st_size)
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    for name, value in (("index.json", index), ("manifest.json", legacy)):
        data = json.dumps(value).encode()
        add(name, io.BytesIO(data), len(data))
    add("oci-layout", io.BytesIO(LAYOUT), len(LAYOUT))


def _chosen(store: ImageStore, reference: str) -> tuple[str, str]:
    """(name, manifest digest); the name is empty when an id was given."""
    digest = store.find(reference)
    if digest is None:
        raise ArchiveError(f"no image {reference!r} here; `wherry image ls` shows what there is")
    return (reference if reference in store.names() else ""), digest


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def load(store: ImageStore, source: Path | BinaryIO, name: str = "") -> list[tuple[str, str]]:
    """(name, manifest digest) of every image in it, stored and named; the name is empty where nothing says one.

    `name` is for an archive with a single image, instead of what it says. Raises ArchiveError, InvalidReference,
    StoreError, LayerError; nothing is named then.
    """
    with store.using(), unbundled(store, source) as bundle:
        found = list(_images(bundle))
        if not found:
            raise ArchiveError("there is no image in it: neither index.json nor manifest.json names one")
        if name:
            Reference.parse(name)
            if len({digest for digest, _ in found}) > 1:
                raise ArchiveError(f"there are {len(found)} images in it: they cannot all be named {name}")
            found = [(found[0][0], [name])]
        for digest, _ in found:
            store.image_of(digest)  # unpacks; only what is complete gets a name
        named = [(each, digest) for digest, names in found for each in names or [""]]
        for each, digest in named:
            if each:
                store.tag(each, digest)
    return named


def _images(bundle: Bundle) -> Iterator[tuple[str, list[str]]]:
    """(manifest digest, names) of each image, its blobs taken into the store."""
    legacy = bundle.json("manifest.json") if bundle.has("manifest.json") else []
    names: dict[str, list[str]] = {}
    for entry in legacy:
        names[bundle.digest(entry["Config"])] = [tag for tag in entry.get("RepoTags") or [] if _is_name(tag)]
    if not bundle.has("index.json"):
        for entry in legacy:
            config = bundle.digest(entry["Config"])
            yield bundle.take_files(entry["Config"], list(entry["Layers"])), names[config]
        return
    for descriptor in bundle.json("index.json").get("manifests") or []:
        manifest = bundle.manifest(descriptor)
        config = str(manifest.content["config"]["digest"])
        yield bundle.take(manifest), names.get(config) or _annotated(descriptor)


def _annotated(descriptor: dict[str, Any]) -> list[str]:
    """The name an index gives; a bare tag is none."""
    annotations = descriptor.get("annotations") or {}
    found = (str(annotations.get(key) or "") for key in (NAME_ANNOTATION, REF_ANNOTATION))
    return [name for name in found if _is_name(name)][:1]


def _is_name(text: str) -> bool:
    with contextlib.suppress(InvalidReference):
        return bool(Reference.parse(text).tag)
    return False


__all__ = ["ArchiveError", "StoreError", "load", "save", "save_layout"]
