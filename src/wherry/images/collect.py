"""What of the store is needed, and removing the rest.

Needed are: what names lead to, what containers stand on, and of the builder's steps the most recently used ones up to
CACHE_BYTES_MAX. The layers of an image that is being removed are not kept as steps: who removes an image wants its room.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path

from msgspec import Struct

from wherry.images.blobs import clear_abandoned
from wherry.images.store import Descriptor, ImageStore
from wherry.images.trees import remove_tree

CACHE_BYTES_MAX = 10 << 30  # of layers only the builder knows; enough for months of one application's builds


class Needed(Struct):
    """Blobs by digest, unpacked layers by diff id, steps by key."""

    blobs: set[str]
    layers: set[str]
    steps: set[str]


class Freed(Struct, frozen=True):
    """What was removed; `size` in bytes, of the blobs (unpacked layers take about as much again)."""

    blobs: int
    layers: int
    size: int


def collect(store: ImageStore, removed: Collection[str] = (), in_use: Collection[Path] = ()) -> Freed:
    """Remove what nobody needs. `removed`: diff ids of images just untagged; `in_use`: layers under containers.

    Raises BlockingIOError while a build or a pull is on its way.
    """
    with store.alone():
        kept = needed(store, set(removed), {path.name for path in in_use})
        clear_abandoned(store.root)
        for key in _listed(store.root / "steps"):
            if key not in kept.steps:
                (store.root / "steps" / key).unlink()
        blobs = [digest for digest in store.blobs.all() if digest not in kept.blobs]
        size = sum(store.blobs.remove(digest) for digest in blobs)
        layers = [name for name in _listed(store.root / "layers") if f"sha256:{name}" not in kept.layers]
        for name in layers:
            remove_tree(store.root / "layers" / name)
        return Freed(len(blobs), len(layers), size)


def needed(store: ImageStore, removed: set[str], in_use: set[str]) -> Needed:
    """What `collect` keeps."""
    kept = Needed(set(), {f"sha256:{name}" for name in in_use}, set())
    for digest in set(store.names().values()):
        manifest = store.manifest(digest)
        pairs = store.layers_of(manifest)
        kept.blobs |= {digest, manifest["config"]["digest"], *(descriptor.digest for descriptor, _ in pairs)}
        kept.layers |= {diff_id for _, diff_id in pairs}
    room = CACHE_BYTES_MAX
    for key, descriptor, diff_id in _steps(store.root / "steps"):
        named = diff_id in kept.layers and descriptor.digest in kept.blobs
        if not named:
            if diff_id in removed or descriptor.size > room:
                continue
            room -= descriptor.size
        kept.steps.add(key)
        kept.blobs.add(descriptor.digest)
        kept.layers.add(diff_id)
    return kept


def _steps(folder: Path) -> list[tuple[str, Descriptor, str]]:
    """Key, layer and diff id; the one used last comes first."""
    found = []
    for name in _listed(folder):
        file = folder / name
        try:
            entry = json.loads(file.read_text())
            found.append((file.stat().st_mtime_ns, name, Descriptor.of(entry["layer"]), str(entry["diff_id"])))
        except (ValueError, KeyError):
            continue  # cut short by a crash: not kept
    return [(name, descriptor, diff_id) for _, name, descriptor, diff_id in sorted(found, key=lambda each: -each[0])]


def _listed(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []
