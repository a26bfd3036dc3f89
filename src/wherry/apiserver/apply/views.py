"""One object in the versions its managers speak: shapes and conversions, by apiVersion.

Made once per resource and served version. Entries of a version that is served no more are dropped with their owner's
next write; versions of one shape differ in nothing but their name.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from wherry.api.types import Obj
from wherry.apiserver.apply.shape import Shape

Convert = Callable[[Obj], Obj]


class View(Struct, frozen=True):
    """`inward` and `outward` convert between this version and the stored one; None: nothing but the name differs."""

    whole: Shape
    tracked: Shape
    inward: Convert | None = None
    outward: Convert | None = None


class Views:
    """`find`: apiVersion -> View, None for a version that is not served."""

    def __init__(self, find: Callable[[str], View | None]) -> None:
        self._find = find
        self._views: dict[str, View | None] = {}

    def view(self, api_version: str) -> View | None:
        if api_version not in self._views:
            self._views[api_version] = self._find(api_version)
        return self._views[api_version]

    def tracked(self, api_version: str) -> Shape | None:
        view = self.view(api_version)
        return view.tracked if view is not None else None

    def whole(self, api_version: str) -> Shape | None:
        view = self.view(api_version)
        return view.whole if view is not None else None

    def convert(self, obj: Obj | None, source: str, target: str) -> Obj | None:
        """None when the object is, or one of the versions."""
        if obj is None or source == target:
            return obj
        here, there = self.view(source), self.view(target)
        if here is None or there is None:
            return None
        stored = obj if here.inward is None else here.inward(obj)
        return stored if there.outward is None else there.outward(stored)
