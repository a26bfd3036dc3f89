"""The field managers of one request: what the registry and the patch handler call.

    ByUpdate   create, PUT and patches: whoever changes a field owns it
    ByApply    a configuration is merged in and owned; the registry finds the owners SETTLED
    KEEP       writes that are nobody's (a binding): owners stay as they are
Decided by Kubernetes' order: owners are settled after defaulting and before admission, so what admission or a strategy
fills in is nobody's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from wherry.aio.clock import Clock, rfc3339
from wherry.api.errors import bad_request
from wherry.api.types import Obj
from wherry.apiserver.apply import last_applied
from wherry.apiserver.apply.applying import Applied, applied, check
from wherry.apiserver.apply.conflicts import Conflicts, refusal
from wherry.apiserver.apply.differences import differences
from wherry.apiserver.apply.entries import UPDATE, Entries, Writer, entries_of, put, same_but_times, taken
from wherry.apiserver.apply.field_set import FieldSet
from wherry.apiserver.apply.updates import Seen, seen, updated
from wherry.apiserver.apply.views import Views

BEFORE_FIRST_APPLY = "before-first-apply"
"""Owns what an object had when it had no managers and somebody applied."""
MANAGER_BYTES_MAX = 128


@lru_cache(maxsize=256)
def manager_of(asked: str, agent: str) -> str:
    """The name a write goes by: the `fieldManager` asked for, else what a User-Agent has before its first "/"."""
    if asked:
        return asked
    text = "".join(letter for letter in agent.partition("/")[0] if letter.isprintable())
    return text.encode()[:MANAGER_BYTES_MAX].decode(errors="ignore") or "unknown"


def is_unchanged(obj: Obj, old: Obj) -> bool:
    """Whether a write changed nothing but the times of entries; those are then the old ones again, in place."""
    if obj.keys() != old.keys() or any(value != old[key] for key, value in obj.items() if key != "metadata"):
        return False
    metadata, before = obj["metadata"], old["metadata"]
    mine, stored = entries_of(obj), entries_of(old)
    if mine is stored or mine == stored or not same_but_times(mine, stored):
        return bool(metadata == before)
    if {**metadata, "managedFields": stored} != before:
        return False
    metadata["managedFields"] = stored
    return True


class Owners(Protocol):
    """Settles who owns what before an object is stored."""

    def own(self, obj: Obj, old: Obj | None) -> None:
        """Set metadata.managedFields of the draft `obj`, which replaces `old` (None: a new object), in place."""
        ...


class Keep:
    """Whatever was sent, the owners are who they were."""

    def own(self, obj: Obj, old: Obj | None) -> None:
        put(obj["metadata"], entries_of(old))


class Settled:
    """The draft has its owners already."""

    def own(self, obj: Obj, old: Obj | None) -> None: ...


KEEP = Keep()
SETTLED = Settled()


class ByUpdate(Struct, frozen=True):
    """`writer.api_version` is the version the request speaks, the registry's objects are in the stored one."""

    writer: Writer
    views: Views
    reset: FieldSet
    clock: Clock

    def own(self, obj: Obj, old: Obj | None) -> None:
        stored, sent = entries_of(old), obj["metadata"].get("managedFields")
        if self.writer.subresource:
            sent = None
        entries = taken(sent, stored)
        if not entries and old is not None:
            put(obj["metadata"], entries)  # nobody has been counted: that starts with an apply
            return
        writer, found = self.writer, self._seen(obj, old, self.writer.api_version)
        if found is not None:
            now = rfc3339(self.clock.time())
            entries = updated(entries, writer, found, lambda version: self._seen(obj, old, version), now)
        put(obj["metadata"], entries)

    def _seen(self, obj: Obj, old: Obj | None, version: str) -> Seen | None:
        view = self.views.view(version)
        if view is None:
            return None
        shown = obj if view.outward is None else view.outward(obj)
        before = _NOTHING if old is None else old if view.outward is None else view.outward(old)
        return seen(differences(before, shown, view.tracked), self.reset)


_NOTHING: Obj = {}


class ByApply(Struct, frozen=True):
    """One apply: `check` the configuration once, `merge` it into the object as it is."""

    writer: Writer
    views: Views
    reset: FieldSet
    clock: Clock
    force: bool = False

    def check(self, configuration: Any) -> None:
        """Raises 400 for a configuration that is none."""
        metadata = configuration.get("metadata")
        if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
            raise bad_request("metadata.managedFields must be nil")
        check(configuration, self.writer.api_version, self.views)

    def merge(self, live: Obj | None, configuration: Obj) -> Applied:
        """`live` (None: there is no such object) and `configuration` in the version spoken. Raises 409."""
        entries = entries_of(live)
        if live is None:
            metadata: Obj = {}
            live = {"metadata": metadata}
        elif not entries:
            entries = self._before_first_apply(live)
        try:
            made = self._merge(live, configuration, entries)
        except Conflicts as conflicts:
            raise refusal(conflicts) from None
        if made.obj is not None and not made.obj.get("metadata"):
            made = Applied({**made.obj, "metadata": {}}, made.entries)  # without a name, and refused for it
        if self.writer.manager == last_applied.MANAGER and made.obj is not None:
            made = Applied(last_applied.kept_up(made.obj, configuration), made.entries)
        return made

    def _merge(self, live: Obj, configuration: Obj, entries: Entries) -> Applied:
        writer, now = self.writer, rfc3339(self.clock.time())
        bare = {**live, "metadata": {key: value for key, value in live["metadata"].items() if key != "managedFields"}}
        try:
            return applied(bare, configuration, entries, writer, self.reset, self.views, self.force, now)
        except Conflicts as conflicts:
            view = self.views.view(writer.api_version)
            if writer.manager != last_applied.MANAGER or view is None:
                raise
            left = last_applied.rightful(conflicts, live, writer.api_version, view)
            if left is not None:
                raise left from None
        return applied(bare, configuration, entries, writer, self.reset, self.views, True, now)

    def _before_first_apply(self, live: Obj) -> Entries:
        """Everything there is belongs to whoever wrote it before anybody counted."""
        writer = replace(self.writer, manager=BEFORE_FIRST_APPLY, operation=UPDATE)
        view = self.views.view(writer.api_version)
        assert view is not None
        found = seen(differences(_NOTHING, live, view.tracked), self.reset)
        now = rfc3339(self.clock.time())
        return updated([], writer, found, lambda version: None, now) if found.changed else []
