"""What the steps of one build share."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from wherry.builder.arguments import Arguments
from wherry.builder.context import BuildContext
from wherry.builder.steps import Layer, Steps
from wherry.cri.interface import RuntimeService
from wherry.images.packing import pack
from wherry.images.store import LAYER, Descriptor, ImageStore


class Site(Struct, frozen=True):
    """One build's surroundings; `runtime` is asked for only when a RUN has to be carried out."""

    store: ImageStore
    steps: Steps
    context: BuildContext
    arguments: Arguments
    runtime: Callable[[], Awaitable[RuntimeService]]
    rng: random.Random
    report: Callable[[str], None]

    async def layer(self, key: str, fill: Callable[[Path], None]) -> Layer:
        """The layer of `key`: the one that is known, or what `fill` writes into an empty directory (in a thread)."""

        async def make() -> Layer:
            return await asyncio.to_thread(self._make, fill)

        return await self.steps.layer(key, make)

    def _make(self, fill: Callable[[Path], None]) -> Layer:
        with self.store.temporary() as folder:
            tree = folder / "layer"
            tree.mkdir()
            tree.chmod(0o755)
            fill(tree)
            with closing(self.store.draft()) as draft:
                diff_id = pack(tree, draft)
                draft.commit()
            self.store.adopt_layer(tree, diff_id)
        return Descriptor(LAYER, diff_id, draft.size), diff_id  # not compressed: its digest is its diff id
