"""DELETE of one object, and of a whole selection (deletecollection)."""

from __future__ import annotations

from typing import Final

from wherry.api.errors import StatusError
from wherry.api.types import Obj
from wherry.apiserver import decode
from wherry.apiserver.core import Call, Core
from wherry.apiserver.handlers import list as listing
from wherry.apiserver.http import Answer
from wherry.apiserver.options import delete_options, list_options
from wherry.apiserver.respond import answer, respond, success
from wherry.apiserver.selection import select
from wherry.reconcile.batches import all_of

AT_ONCE: Final = 64
"""Objects of a collection that are deleted at the same time: they share the storage's group commits, and others get their
turn. (kube-apiserver's --delete-collection-workers is 1.)"""

_JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)


async def handle(core: Core, call: Call) -> Answer:
    """A Status when it is gone, the object when it is not or when its kind answers so."""
    options = delete_options(call.request, decode.read_options(core, call))
    _warn(call, options)
    info, registry = call.info, call.registry
    result = await registry.delete(
        info.namespace, info.name, options, core.write(call, bool(options["dryRun"]), options)
    )
    if result.removed and not registry.strategy.returns_deleted:
        return success(call, result.value)
    return respond(core, call, result.value, result.data)


async def handle_collection(core: Core, call: Call) -> Answer:
    """Each object by itself; one that is gone by then does not count. Answers with the list as it was."""
    options = delete_options(call.request, decode.read_options(core, call))
    listed = list_options(call.request.query)
    selection = select(listed, call.registry.strategy, call.resource)
    prefix = call.registry.prefix_of(call.info.namespace)
    page = await listing.read(core, call, listed, selection, prefix)

    async def delete(obj: Obj) -> None:
        metadata = obj["metadata"]
        write = core.write(call, bool(options["dryRun"]), options)
        try:
            await call.registry.delete(metadata.get("namespace", ""), metadata["name"], options, write)
        except StatusError as error:
            if error.code != 404:
                raise

    for first in range(0, len(page.entries), AT_ONCE):
        failures = await all_of([entry.value for entry in page.entries[first : first + AT_ONCE]], delete)
        if failures:
            raise failures[0]
    items = [call.served.show(entry.value) for entry in page.entries]
    result: Obj = {
        "kind": call.served.list_kind,
        "apiVersion": call.resource.api_version,
        "metadata": page.metadata(),
        "items": items,
    }
    return answer(call, result)


def _warn(call: Call, options: Obj) -> None:
    if (
        call.registry.strategy.default_orphan
        and call.resource.group == "batch"
        and not (options.get("propagationPolicy") or options.get("orphanDependents") is not None)
    ):
        call.request.warnings.append(_JOB_WARNING)
