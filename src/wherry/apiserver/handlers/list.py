"""GET of many: selectors, pages, consistent snapshots.

The JSON of a list is its items' stored bytes, joined. As long as nothing changes under the prefix the joined bytes are
kept, so that a list of a thousand pods costs a dictionary lookup and a copy.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from wherry.api.errors import StatusError
from wherry.api.types import Obj
from wherry.apiserver.bodies import join
from wherry.apiserver.core import Call, Core
from wherry.apiserver.handlers.get import version_too_large
from wherry.apiserver.http import Answer, Response
from wherry.apiserver.negotiation import PARTIAL, PARTIAL_LIST
from wherry.apiserver.options import Continue, ListOptions, decode_continue, list_options
from wherry.apiserver.respond import META, answer, partial, table, write
from wherry.apiserver.selection import Selection, select
from wherry.storage.errors import Compacted, FutureRevision
from wherry.storage.interface import Entry

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class Page(Struct, frozen=True):
    """The entries of one answer, as of `revision`."""

    entries: Sequence[Entry]
    revision: int
    continue_: str = ""
    remaining: int | None = None

    def metadata(self) -> Obj:
        metadata: Obj = {"resourceVersion": str(self.revision)}
        if self.continue_:
            metadata["continue"] = self.continue_
        if self.remaining is not None:
            metadata["remainingItemCount"] = self.remaining
        return metadata


class ExpiredContinue(StatusError):
    """410 that carries a token to go on with, inconsistently."""

    def __init__(self, token: str) -> None:
        super().__init__(410, "Expired", _TOO_OLD)
        self._token = token

    def to_status(self) -> Obj:
        return {**super().to_status(), "metadata": {"continue": self._token}}


async def handle(core: Core, call: Call) -> Answer:
    options = list_options(call.request.query)
    selection = select(options, call.registry.strategy, call.resource)
    prefix = call.registry.prefix_of(call.info.namespace)
    page = await read(core, call, options, selection, prefix)
    call.representation = call.representation.of_list(len(page.entries))
    wanted, served = call.representation, call.served
    if wanted.plain and not call.in_process and served.outward is None:
        whole = selection.everything and not page.continue_ and not options.continue_
        current = page.revision == core.storage.revision
        stored = served.codec is None or served.codec.clean
        body = _encoded(core, call, page, prefix if whole and current and stored else "")
        return Response(200, None, body)
    values = [entry.value for entry in page.entries]
    if served.outward is not None:
        values = [served.outward(value) for value in values]
    return _represent(core, call, values, page)


async def read(core: Core, call: Call, options: ListOptions, selection: Selection, prefix: str) -> Page:
    """The entries asked for. Raises 400, 410, 504."""
    storage = core.storage
    revision, after = storage.revision, ""
    snapshot: int | None = None
    if options.continue_:
        token = decode_continue(options.continue_)
        after = token.start
        if token.revision > 0:
            revision = snapshot = token.revision
    elif options.resource_version:
        if options.resource_version > revision:
            raise version_too_large(options.resource_version, revision)
        if options.match == "Exact":
            revision = snapshot = options.resource_version
    try:
        entries = _entries(core, call, selection, prefix, snapshot)
    except Compacted:
        if options.continue_:
            raise ExpiredContinue(Continue(-1, after).encode()) from None
        raise StatusError(410, "Expired", "The resourceVersion for the provided list is too old.") from None
    except FutureRevision:
        raise version_too_large(revision, storage.revision) from None
    if after:
        start = len(call.registry.prefix)
        entries = [entry for entry in entries if entry.key[start:] >= after]
    codec = call.served.codec
    if not selection.everything:
        if codec is not None:
            entries = await codec.entries(entries)
        entries = selection.among(entries)
    limit = options.limit if options.resource_version != 0 or options.match else 0
    more, total = bool(limit) and len(entries) > limit, len(entries)
    if more:
        entries = entries[:limit]
    if codec is not None and selection.everything:
        entries = await codec.entries(entries)
    if not more:
        return Page(entries, revision)
    token = Continue(revision, entries[-1].key[len(call.registry.prefix) :] + "\0")
    return Page(entries, revision, token.encode(), total - limit if selection.everything else None)


def _entries(core: Core, call: Call, selection: Selection, prefix: str, snapshot: int | None) -> Sequence[Entry]:
    """A list of one name is a lookup."""
    if selection.name and snapshot is None and (call.info.namespace or not call.registry.resource.namespaced):
        entry = core.storage.get(call.registry.key(call.info.namespace, selection.name))
        return [entry] if entry is not None else []
    return core.storage.list(prefix, snapshot)


def _encoded(core: Core, call: Call, page: Page, cache_key: str) -> bytes:
    resource = call.resource
    head = f'{{"kind":"{call.served.list_kind}","apiVersion":"{resource.api_version}","metadata":{{'
    head += f'"resourceVersion":"{page.revision}"'
    if page.continue_:
        head += f',"continue":"{page.continue_}"'
    if page.remaining is not None:
        head += f',"remainingItemCount":{page.remaining}'
    prefix = call.served.item_prefix
    items = core.bodies.items(cache_key, page.entries, prefix) if cache_key else join(page.entries, prefix)
    return b"".join((head.encode(), b'},"items":[', items, b"]}\n"))


def _represent(core: Core, call: Call, values: list[Obj], page: Page) -> Response:
    wanted, resource = call.representation, call.resource
    metadata = page.metadata()
    if call.in_process or not wanted.as_kind:
        items = values if call.in_process or call.served.codec is not None else [_untyped(value) for value in values]
        listed = {
            "kind": call.served.list_kind,
            "apiVersion": resource.api_version,
            "metadata": metadata,
            "items": items,
        }
        return answer(call, listed)
    if wanted.as_kind == PARTIAL:
        raise StatusError(
            406,
            "NotAcceptable",
            f"you requested PartialObjectMetadata, but the requested object is a list (*core.{call.served.list_kind})",
        )
    if wanted.as_kind == PARTIAL_LIST:
        items = [partial(value, wanted) for value in values]
        listed = {
            "kind": PARTIAL_LIST,
            "apiVersion": f"{META}/{wanted.as_version}",
            "metadata": metadata,
            "items": items,
        }
        return write(listed, wanted)
    return write(table(core, call, values, metadata), wanted)


def _untyped(value: Obj) -> Obj:
    return {key: item for key, item in value.items() if key not in ("kind", "apiVersion")}
