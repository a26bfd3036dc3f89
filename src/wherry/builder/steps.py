"""The layer cache: the key of a step -> the layer it gave. Beside the blobs, so that both go together."""

from __future__ import annotations

import json
import os

from wherry.images.store import Descriptor, ImageStore

Layer = tuple[Descriptor, str]


class StepCache:
    """One small file a step; written by rename, so that a reader sees all of it or nothing."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._folder = store.root / "steps"

    def get(self, key: str) -> Layer | None:
        """None when the step is not known or its layer was removed."""
        try:
            found = json.loads((self._folder / key).read_text())
        except (FileNotFoundError, ValueError):
            return None
        descriptor = Descriptor.of(found["layer"])
        if not self._store.has(descriptor.digest) or not self._store.layer(found["diff_id"]).exists():
            return None
        return descriptor, found["diff_id"]

    def put(self, key: str, layer: Layer) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._folder / f"{key}.tmp{os.getpid()}"
        draft.write_text(json.dumps({"layer": layer[0].to_dict(), "diff_id": layer[1]}))
        os.replace(draft, self._folder / key)
