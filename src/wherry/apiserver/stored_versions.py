"""A state directory that another Kubernetes version wrote, as this one shows it.

Is: the seam at which storage loads (`storage.reading`): an object stored in another version of its kind is converted, one
of a newer Kubernetes loses the fields this one does not know, as a decoder of this version would drop them. Is not: a
migration; the file keeps what it has until the object is written next, so that a newer Kubernetes finds it again.

Always true in memory: every object of a served resource begins as `Served.item_prefix` says, which is what LIST relies on.
GET, LIST, WATCH and informers see the same, and pay nothing for it. Objects of resources that are not served lie untouched.
"""

from __future__ import annotations

from msgspec import Struct

from wherry.api import json
from wherry.api.known_fields import known
from wherry.api.scheme import Resource, Scheme
from wherry.api.types import Obj
from wherry.apiserver.registry.generic import arranged
from wherry.apiserver.versions import restored, stored_resource
from wherry.storage.revision_log import bucket_of


class _Kind(Struct, frozen=True):
    resource: Resource
    start: bytes
    """How the encoding of its objects begins."""


class StoredVersions:
    """`storage.reading.Reading` of one Kubernetes version. The note is the newest version that ever wrote there: without a
    newer one no object is looked into."""

    def __init__(self, scheme: Scheme) -> None:
        self._scheme = scheme
        self._drops = False
        self._kinds: dict[str, _Kind] = {}
        for resource in scheme.resources.values():
            stored = stored_resource(scheme, resource)
            prefix = f"/registry/{stored.group or 'core'}/{stored.resource}/"
            start = f'{{"kind":"{stored.kind}","apiVersion":"{stored.api_version}",'
            self._kinds[prefix] = _Kind(stored, start.encode())

    def begin(self, note: str | None) -> str:
        """A file from before there were notes may have been written by any version."""
        ours = self._scheme.version
        newest = ours if note is None else note or Scheme.versions()[-1]
        self._drops = _number(newest) > _number(ours)
        return newest if self._drops else ours

    def read(self, key: str, value: Obj, data: bytes) -> tuple[Obj, bytes]:
        kind = self._kinds.get(bucket_of(key))
        if kind is None:
            return value, data
        shown = value if data.startswith(kind.start) else arranged(restored(kind.resource, value))
        if self._drops:
            shown = known(shown, self._scheme.schema(kind.resource))
        return (value, data) if shown is value else (shown, json.encode(shown))


def _number(version: str) -> tuple[int, ...]:
    """ "1.9" is older than "1.36"."""
    return tuple(map(int, version.split(".")))
