"""Stored custom resources as one served version shows them.

Reading: prune and default as the version they were stored in says, convert, prune as the version asked for says. Writing:
convert to the storage version, prune. As long as a definition has stored one version only, and everything stored is as its
schema would have it, stored bytes are answered as they are (`clean`); that is found out at the first list.
Source: Kubernetes' "Versions in CustomResourceDefinitions", "Defaulting".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from wherry.api import json
from wherry.api.types import Obj
from wherry.apiserver.drafts import draft
from wherry.apiserver.extensions.conversion import Converter, unavailable
from wherry.apiserver.extensions.defaulting import default
from wherry.apiserver.extensions.pruning import prune
from wherry.apiserver.extensions.structural import EMPTY, Node
from wherry.apiserver.registry.generic import arranged
from wherry.storage import errors as storage_errors
from wherry.storage.interface import Change, Entry, Storage, Watch

SHOWN_MAX = 10_000
"""Converted objects kept per version; a list of more converts them each time."""


class Family(Struct):
    """What the served versions of one definition share, from one publication to the next."""

    definition: Obj
    storage_version: str
    nodes: Mapping[str, Node]
    converter: Converter
    storage: Storage
    prefix: str
    turns: dict[str, Any] = field(default_factory=dict)
    """Of the registries: writers of one object queue, whatever version they speak."""
    watches: set[Watch] = field(default_factory=set)

    @property
    def group(self) -> str:
        group: str = self.definition["spec"]["group"]
        return group

    def close(self) -> None:
        """It is published anew or no more: whoever watches has to come back."""
        for watch in list(self.watches):
            watch.close()


class Codec:
    """`serving.Codec` of one version."""

    def __init__(self, family: Family, version: str) -> None:
        self.family = family
        self.version = version
        self.api_version = f"{family.group}/{version}"
        self._node = family.nodes[version]
        self._shown: OrderedDict[str, Entry] = OrderedDict()
        stored = family.definition.get("status", {}).get("storedVersions") or []
        self._one_version = list(stored) == [version] and version == family.storage_version
        self._checked = False
        self._clean = False

    @property
    def clean(self) -> bool:
        return self._clean

    async def entries(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """All of them as this version shows them."""
        if self._one_version and not self._checked:
            self._check()
        if self._clean:
            return entries
        asked = await self._ask([entry for entry in entries if self._known(entry) is None])
        return [asked.get(entry.key) or self._known(entry) or self._settled(entry) for entry in entries]

    async def change(self, change: Change) -> Change:
        if self._clean:
            return change
        both = [change.entry] if change.previous is None else [change.entry, change.previous]
        shown = list(await self.entries(both))
        return Change(change.type, shown[0], shown[1] if change.previous is not None else None)

    async def warm(self, key: str) -> None:
        """Make sure that `now` knows the object there is at this moment."""
        if self.family.converter.waits:
            entry = self.family.storage.get(key)
            if entry is not None:
                await self.entries([entry])

    def now(self, entry: Entry) -> Entry:
        """One as this version shows it, without waiting. Raises 500 when a webhook would have to be asked."""
        if self._clean:
            return entry
        known = self._known(entry)
        if known is not None:
            return known
        if self.family.converter.waits and entry.value["apiVersion"] != self.api_version:
            raise unavailable(self.family.definition)
        return self._settled(entry)

    def peek(self, entry: Entry) -> Obj:
        """As `now`, but what only the webhook could show is shown as stored."""
        waits = self.family.converter.waits and entry.value["apiVersion"] != self.api_version
        known = self._known(entry) if waits else self.now(entry)
        return known.value if known is not None else entry.value

    async def to_storage(self, obj: Obj) -> Obj:
        """A private object of this version, as it is stored."""
        family = self.family
        if self.version != family.storage_version:
            wanted = f"{family.group}/{family.storage_version}"
            obj = draft((await family.converter.convert([obj], wanted))[0])
        prune(obj, family.nodes.get(family.storage_version, EMPTY))
        return arranged(obj)

    def renamed(self, obj: Obj) -> Obj | None:
        """An object of another version as one of this, None when only a conversion webhook could tell."""
        if obj["apiVersion"] == self.api_version:
            return obj
        if self.family.converter.waits:
            return None
        value: Obj = draft(self.family.converter.now(obj, self.api_version))
        prune(value, self._node)
        return value

    def opened(self, watch: Watch) -> None:
        """It lives as long as this publication."""
        self.family.watches.add(watch)

    def closed(self, watch: Watch) -> None:
        self.family.watches.discard(watch)

    def _known(self, entry: Entry) -> Entry | None:
        found = self._shown.get(entry.key)
        return found if found is not None and found.revision == entry.revision else None

    def _check(self) -> None:
        """Whether stored bytes are answers: true for good once it is, since every write makes it so."""
        self._checked = True
        family = self.family
        self._clean = all(self._settle(entry.value) is entry.value for entry in family.storage.list(family.prefix))
        if self._clean:
            self._shown.clear()

    async def _ask(self, entries: Sequence[Entry]) -> dict[str, Entry]:
        """Ask the webhook, once for all that need it, by key; what needs nobody is done when it is read."""
        if not self.family.converter.waits:
            return {}
        other = [entry for entry in entries if entry.value["apiVersion"] != self.api_version]
        if not other:
            return {}
        read = [self._read(entry.value) for entry in other]
        made: dict[str, Entry] = {}
        for entry, obj in zip(other, await self.family.converter.convert(read, self.api_version), strict=True):
            value = draft(obj)
            prune(value, self._node)
            made[entry.key] = self._keep(entry, arranged(value))
        return made

    def _settled(self, entry: Entry) -> Entry:
        return self._keep(entry, self._settle(entry.value))

    def _settle(self, value: Obj) -> Obj:
        """Without a webhook; the very same object where nothing changes."""
        obj = self._read(value)
        if obj["apiVersion"] != self.api_version:
            obj = draft(self.family.converter.now(obj, self.api_version))
            prune(obj, self._node)
        return value if obj == value else arranged(obj)

    def _read(self, value: Obj) -> Obj:
        """Stored objects as their own version's schema is now."""
        node = self.family.nodes.get(value["apiVersion"].rpartition("/")[2])
        if node is None:
            return value
        obj: Obj = draft(value)
        prune(obj, node)
        default(obj, node)
        return obj

    def _keep(self, entry: Entry, value: Obj) -> Entry:
        made = entry
        if value is not entry.value:
            made = Entry(entry.key, value, json.encode(value), entry.revision, entry.create_revision)
        self._shown[entry.key] = made
        self._shown.move_to_end(entry.key)
        if len(self._shown) > SHOWN_MAX:
            self._shown.popitem(last=False)
        return made


class CodecStorage:
    """The part of `Storage` a registry uses, in one version's terms."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._storage = codec.family.storage

    def get(self, key: str) -> Entry | None:
        entry = self._storage.get(key)
        return None if entry is None else self._codec.now(entry)

    async def create(self, key: str, value: Obj) -> Entry:
        return await self._shown(await self._storage.create(key, await self._codec.to_storage(value)))

    async def update(self, key: str, value: Obj, expected: int) -> Entry:
        stored = await self._codec.to_storage(value)
        try:
            return await self._shown(await self._storage.update(key, stored, expected))
        except storage_errors.Conflict:
            await self._codec.warm(key)  # the registry will look at what is there now
            raise

    async def delete(self, key: str, expected: int) -> Entry:
        try:
            return await self._storage.delete(key, expected)
        except storage_errors.Conflict:
            await self._codec.warm(key)
            raise

    async def _shown(self, entry: Entry) -> Entry:
        return (await self._codec.entries([entry]))[0]
