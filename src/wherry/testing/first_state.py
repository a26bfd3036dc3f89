"""What a control plane's storage holds before anybody has asked for anything, reckoned once per process and shared.

Two hundred roles, classes and API services are the same in every control plane that begins at the same moment with the
same options; making them through the API takes longer than everything else at a start. Entries are immutable, so the
changes themselves are shared. Always true: a control plane cannot tell whether it was the one that made them.
"""

from __future__ import annotations

import random
from collections import OrderedDict

from msgspec.structs import replace

from wherry.aio.clock import Clock, LoopClock
from wherry.apiserver.app import App
from wherry.apiserver.app import Options as ServerOptions
from wherry.apiserver.bootstrap.ensure import ensure
from wherry.apiserver.bootstrap.objects import BootstrapOptions, bootstrap_objects
from wherry.apiserver.registry.allocation import service_allocators
from wherry.cluster.composition import client_as
from wherry.storage.interface import Change
from wherry.storage.memory import MemoryStorage

KEPT_MAX = 16
"""A megabyte each; a run of tests has one per Kubernetes version and date at which its time begins."""
_kept: OrderedDict[BootstrapOptions, tuple[Change, ...]] = OrderedDict()


async def first_state(options: BootstrapOptions, clock: Clock, token_key: bytes) -> tuple[Change, ...]:
    """In the order of revisions. Names and uids are no part of what a seed decides: no two of these objects are alike.
    Where time is real they date from the first of the process that was made so."""
    key = options if isinstance(clock, LoopClock) else replace(options, now="")
    found = _kept.get(key)
    if found is None:
        found = _kept[key] = await _made(options, clock, token_key)
        if len(_kept) > KEPT_MAX:
            _kept.popitem(last=False)
    return found


async def _made(options: BootstrapOptions, clock: Clock, token_key: bytes) -> tuple[Change, ...]:
    storage, rng = MemoryStorage(), random.Random(0)
    allocators = service_allocators([], rng, options.service_cidr)
    app = App(options.scheme, storage, clock, rng, ServerOptions(token_key, allocators=allocators))
    await ensure(client_as(app, "kube-apiserver"), options.scheme, bootstrap_objects(options))
    return storage.history()
