"""Tars, layers and images for the tests of images."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from typing import Any

from wherry.images.platform import architecture
from wherry.images.store import LAYER, LAYER_GZIP, ImageStore


def entry(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A regular file, or what `fields` of TarInfo say."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def folder(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.DIRTYPE, mode=mode)


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def tar(entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def make_image(
    store: ImageStore, *trees: Iterable[tuple[tarfile.TarInfo, bytes]], compressed: bool = False, **config: Any
) -> str:
    """An image of the layers `trees`, lowest first; the manifest's digest."""
    descriptors, diff_ids = [], []
    for each in trees:
        data = tar(each)
        diff_ids.append(digest(data))
        if compressed:
            descriptors.append(store.put(gzip.compress(data, mtime=0), LAYER_GZIP))
        else:
            descriptors.append(store.put(data, LAYER))
    return store.add(
        {
            "architecture": architecture(),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        },
        descriptors,
    )


def config_of(store: ImageStore, manifest: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.read(store.manifest(manifest)["config"]["digest"]))
    return found
