"""A state directory that another Kubernetes version wrote: its objects, brought to the versions stored now.

Always true afterwards: every stored object of a served resource begins as `Served.item_prefix` says, which is what LIST
relies on. Objects of resources that are not served lie where they are, untouched, until a version that serves them.
"""

from __future__ import annotations

import asyncio

from wherry.apiserver.core import Core
from wherry.apiserver.registry.generic import arranged
from wherry.apiserver.versions import restored
from wherry.storage.interface import Entry

AT_ONCE = 64
"""Writes on their way at a time: enough that storage commits them in groups."""


async def settle(core: Core) -> int:
    """Rewrite what is stored in another version; the answer is how many objects that were. Call it before anybody else
    reads or writes."""
    registries = {served.registry.prefix: served for served in core.served.values()}
    others = [
        (entry, served.registry.resource)
        for prefix, served in registries.items()
        for entry in core.storage.list(prefix)
        if not entry.data.startswith(served.item_prefix)
    ]
    gate = asyncio.Semaphore(AT_ONCE)

    async def rewrite(entry: Entry, value: dict[str, object]) -> None:
        async with gate:
            await core.storage.update(entry.key, value, entry.revision)

    async with asyncio.TaskGroup() as group:
        for entry, resource in others:
            group.create_task(rewrite(entry, arranged(restored(resource, entry.value))))
    if others:
        # History is in the old versions still: who wants to read from it lists anew.
        await core.storage.compact(core.storage.revision)
    return len(others)
