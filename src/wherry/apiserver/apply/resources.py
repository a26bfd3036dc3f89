"""From a request for a resource to the field manager it writes with.

Shapes are made once per served version and remembered until that version is served anew (custom resources change).
"""

from __future__ import annotations

from collections.abc import Mapping

from wherry.aio.clock import Clock
from wherry.api.scheme import Scheme
from wherry.api.types import GVR, Obj
from wherry.apiserver.apply.entries import APPLY, UPDATE, Writer
from wherry.apiserver.apply.field_manager import ByApply, ByUpdate
from wherry.apiserver.apply.field_set import EMPTY, FieldSet, of_path
from wherry.apiserver.apply.reset_fields import reset_fields
from wherry.apiserver.apply.scaling import SCALE_VERSION
from wherry.apiserver.apply.shape import Shape, tracked_shape, whole_shape
from wherry.apiserver.apply.views import View, Views
from wherry.apiserver.serving import Served

_STATUS = of_path(("f:status",))
UPDATERS_MAX = 1024
"""Remembered managers; any client may invent names."""


class FieldManagers:
    """`served` is the server's live table."""

    def __init__(self, scheme: Scheme, served: Mapping[GVR, Served], clock: Clock) -> None:
        self._scheme = scheme
        self._served = served
        self._clock = clock
        self._known: dict[int, Shape] = {}
        self._views: dict[GVR, tuple[Served, Views]] = {}
        self._scale = Views(self._scale_view)
        self._unstored: dict[tuple[str, str], Views] = {}
        self._updaters: dict[tuple[GVR, str, str], tuple[Served, ByUpdate]] = {}
        self._resets: dict[tuple[GVR, str], FieldSet] = {}

    def by_update(self, served: Served, subresource: str, manager: str) -> ByUpdate:
        key = (served.resource.gvr, subresource, manager)
        found = self._updaters.get(key)
        if found is not None and found[0] is served:
            return found[1]
        if len(self._updaters) >= UPDATERS_MAX:
            self._updaters.clear()
        writer = Writer(manager, UPDATE, served.resource.api_version, subresource)
        made = ByUpdate(writer, self.views(served), self._reset(served, subresource), self._clock)
        self._updaters[key] = (served, made)
        return made

    def by_apply(self, served: Served, subresource: str, manager: str, force: bool) -> ByApply:
        writer = Writer(manager, APPLY, served.resource.api_version, subresource)
        return ByApply(writer, self.views(served), self._reset(served, subresource), self._clock, force)

    def scale_by_update(self, manager: str) -> ByUpdate:
        """For the Scale of any object."""
        writer = Writer(manager, UPDATE, SCALE_VERSION, "scale")
        return ByUpdate(writer, self._scale, EMPTY, self._clock)

    def scale_by_apply(self, manager: str, force: bool) -> ByApply:
        writer = Writer(manager, APPLY, SCALE_VERSION, "scale")
        return ByApply(writer, self._scale, EMPTY, self._clock, force)

    def own_new(self, obj: Obj, manager: str, subresource: str = "") -> None:
        """Settle the owners of an object of any built-in kind that is answered and not stored, in place."""
        version, kind = obj["apiVersion"], obj["kind"]
        views = self._unstored.get((version, kind))
        if views is None:
            schema = self._scheme.schema_of(version, kind)
            assert schema is not None, kind
            view = View(whole_shape(schema, self._known), tracked_shape(schema, self._known))
            views = self._unstored[version, kind] = Views(lambda asked: view if asked == version else None)
        ByUpdate(Writer(manager, UPDATE, version, subresource), views, _STATUS, self._clock).own(obj, None)

    def _scale_view(self, api_version: str) -> View | None:
        schema = self._scheme.schema_of(SCALE_VERSION, "Scale") if api_version == SCALE_VERSION else None
        if schema is None:
            return None
        return View(whole_shape(schema, self._known), tracked_shape(schema, self._known))

    def views(self, served: Served) -> Views:
        """All versions of a resource, seen from one of them."""
        gvr = served.resource.gvr
        found = self._views.get(gvr)
        if found is None or found[0] is not served:
            found = self._views[gvr] = (served, Views(lambda version: self._view(served, version)))
        return found[1]

    def _view(self, served: Served, api_version: str) -> View | None:
        resource = served.resource
        for each in self._served.values():
            same = each.registry is served.registry or each.resource.gvr[::2] == resource.gvr[::2]
            if same and each.resource.api_version == api_version:
                known = self._known if each.schema is None else {}
                schema = each.schema or self._scheme.schema(each.resource)
                return View(whole_shape(schema, known), tracked_shape(schema, known), each.inward, each.outward)
        return None

    def _reset(self, served: Served, subresource: str) -> FieldSet:
        resource = served.resource
        key = (resource.gvr, subresource)
        if key not in self._resets:
            has_status = resource.subresource("status") is not None
            custom = served.schema is not None
            self._resets[key] = reset_fields(resource.group, resource.resource, subresource, has_status, custom)
        return self._resets[key]
