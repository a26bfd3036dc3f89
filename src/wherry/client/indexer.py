"""The objects an informer holds: by namespace and name, and by whatever else somebody asked to look them up.

Plain memory, changed only by its informer. What it hands out is shared and must not be changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, TypeAlias

from wherry.api.types import Obj

IndexFunction: TypeAlias = Callable[[Obj], Iterable[str]]
"""The values under which an object is found in an index; plain and pure."""


class LabelMatcher(Protocol):
    """What `api.labels.Selector` is to a list."""

    def matches(self, labels: Mapping[str, str]) -> bool: ...


class Index:
    """value -> the keys of the objects that have it."""

    def __init__(self, function: IndexFunction) -> None:
        self._function = function
        self._keys: dict[str, dict[tuple[str, str], None]] = {}
        self._values: dict[tuple[str, str], tuple[str, ...]] = {}

    def put(self, key: tuple[str, str], obj: Obj) -> None:
        values = tuple(dict.fromkeys(self._function(obj)))
        if values == self._values.get(key, ()):
            return
        self.remove(key)
        if values:
            self._values[key] = values
        for value in values:
            self._keys.setdefault(value, {})[key] = None

    def remove(self, key: tuple[str, str]) -> None:
        for value in self._values.pop(key, ()):
            keys = self._keys[value]
            del keys[key]
            if not keys:
                del self._keys[value]

    def keys(self, value: str) -> Iterable[tuple[str, str]]:
        return self._keys.get(value, ())


class Indexer:
    """Objects of one resource. Cluster-scoped ones have the namespace ""."""

    def __init__(self) -> None:
        self._namespaces: dict[str, dict[str, Obj]] = {}
        self._indices: dict[str, Index] = {}

    def __len__(self) -> int:
        return sum(len(objects) for objects in self._namespaces.values())

    def __iter__(self) -> Iterator[Obj]:
        for objects in self._namespaces.values():
            yield from objects.values()

    def get(self, name: str, namespace: str | None = None) -> Obj | None:
        return self._namespaces.get(namespace or "", {}).get(name)

    def count(self, namespace: str) -> int:
        """How many objects the namespace has."""
        return len(self._namespaces.get(namespace, ()))

    def select(self, namespace: str | None = None, selector: LabelMatcher | None = None) -> list[Obj]:
        objects: Iterable[Obj] = self if namespace is None else self._namespaces.get(namespace, {}).values()
        if selector is None:
            return list(objects)
        return [obj for obj in objects if selector.matches(obj["metadata"].get("labels") or {})]

    def put(self, obj: Obj) -> Obj | None:
        """Store; the answer is what was there before."""
        namespace, name = key = key_of(obj)
        objects = self._namespaces.setdefault(namespace, {})
        old = objects.get(name)
        objects[name] = obj
        for index in self._indices.values():
            index.put(key, obj)
        return old

    def remove(self, key: tuple[str, str]) -> Obj | None:
        """Forget; the answer is what was there, None when nothing was."""
        namespace, name = key
        objects = self._namespaces.get(namespace, {})
        old = objects.pop(name, None)
        if old is None:
            return None
        if not objects:
            del self._namespaces[namespace]
        for index in self._indices.values():
            index.remove(key)
        return old

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Index what is there and what comes. A name stands for one function for good: asking again changes nothing."""
        if name in self._indices:
            return
        index = self._indices[name] = Index(function)
        for obj in self:
            index.put(key_of(obj), obj)

    def by_index(self, name: str, value: str) -> list[Obj]:
        return [self._namespaces[namespace][key] for namespace, key in self._indices[name].keys(value)]


def key_of(obj: Obj) -> tuple[str, str]:
    """(namespace or "", name)."""
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]
