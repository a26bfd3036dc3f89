"""The layer cache: the key of a step -> the layer it gave. Beside the blobs, so that both go together.

A key is a digest of everything the step sees, and of nothing else: a LABEL above a RUN does not make it run again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Awaitable, Callable

from wherry.images.store import Descriptor, ImageStore, StoreError

Layer = tuple[Descriptor, str]
"""Its descriptor and its diff id."""


def key_of(kind: str, *inputs: object) -> str:
    """A key; `inputs` are what JSON can write."""
    return hashlib.sha256(json.dumps([kind, *inputs], sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()


class Steps:
    """Of one build. One small file a step, written by rename, so that a reader sees all of it or nothing."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._folder = store.root / "steps"
        self.cached = True
        """Whether nothing had to be made yet."""

    async def layer(self, key: str, make: Callable[[], Awaitable[Layer]]) -> Layer:
        """The layer of `key`: the one that is known, or what `make` makes."""
        known = self._get(key)
        if known is None:
            self.cached = False
            known = await make()
            self._put(key, known)
        return known

    def _get(self, key: str) -> Layer | None:
        """None when the step is not known or its layer was removed."""
        try:
            found = json.loads((self._folder / key).read_text())
            layer = Descriptor.of(found["layer"]), str(found["diff_id"])
            complete = self._store.has(layer[0].digest) and self._store.layer(layer[1]).exists()
            os.utime(self._folder / key)  # the collector keeps what was used last
        except (OSError, ValueError, KeyError, StoreError):
            return None
        return layer if complete else None

    def _put(self, key: str, layer: Layer) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._folder / f"{key}.tmp{os.getpid()}"
        draft.write_text(json.dumps({"layer": layer[0].to_dict(), "diff_id": layer[1]}))
        os.replace(draft, self._folder / key)
