"""The object of a request as one version of its resource shows it, or as the kind of its subresource (Scale).

Storage has one version of each resource; webhooks and policies name the one they understand. A `Form` shows the draft in
that version and takes back what became of it. Always true: `take` leaves the draft in the stored version, with defaults.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from wherry.api.errors import bad_request, internal_error
from wherry.api.scheme import Resource
from wherry.api.structure import normalise
from wherry.api.types import Obj
from wherry.apiserver.admission.request import AdmissionRequest, World

if TYPE_CHECKING:
    from wherry.apiserver.core import Served


class Kind(NamedTuple):
    group: str
    version: str
    kind: str

    def to_dict(self) -> Obj:
        return {"group": self.group, "version": self.version, "kind": self.kind}


class Form(Struct, frozen=True):
    """`show` is pure and takes an object in the stored version."""

    resource: Resource
    subresource: str
    kind: Kind
    show: Callable[[Obj], Obj]

    def shown(self, obj: Obj | None) -> Obj | None:
        return None if obj is None else self.show(obj)

    def take(self, request: AdmissionRequest, changed: Any) -> None:
        """Make `changed`, in this form, the request's draft.

        Raises ValueError when it is no object of its kind, StatusError when it has moved to another namespace.
        """
        assert request.object is not None
        assert request.world is not None
        if not isinstance(changed, dict):
            raise ValueError("what was made of the object is no object")  # noqa: TRY004 - of the input, no bug
        if self.kind.kind == "Scale":
            spec = request.object.setdefault("spec", {})
            spec["replicas"] = (changed.get("spec") or {}).get("replicas", 0)
            return
        world = request.world
        served = world.served.get(self.resource.gvr)
        stored = changed
        own = world.served.get((request.served or request.resource).gvr)
        if served is not None and self.kind.kind == self.resource.kind:
            check = served.normalise or normalise
            problem = check(changed, served.schema or world.scheme.schema(self.resource)).error
            if problem:
                raise ValueError(problem)
            if (changed.get("apiVersion"), changed.get("kind")) != (self.resource.api_version, self.resource.kind):
                raise ValueError(f"the object must stay a {self.kind.kind} of {self.resource.api_version}")
            _settle_namespace(changed, request)
            stored = changed if served.inward is None else served.inward(changed)
            if own is not None and own.codec is not None:
                served, stored = own, _through(own)(stored)
            served.registry.strategy.default(stored)
        request.object.clear()
        request.object.update(stored)


def _settle_namespace(changed: Obj, request: AdmissionRequest) -> None:
    """The namespace is the request's, said or not. Raises StatusError (400) for another one."""
    metadata: Obj = changed.get("metadata") or {}
    changed["metadata"] = metadata
    if (metadata.get("namespace") or request.namespace) != request.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    metadata.pop("namespace", None)
    if request.namespace:
        metadata["namespace"] = request.namespace


def own_form(request: AdmissionRequest) -> Form:
    """As the client speaks of it."""
    return form_in(request, request.served or request.resource)


def form_in(request: AdmissionRequest, resource: Resource) -> Form:
    """As `resource`, a served version of the request's resource, shows it."""
    sub = resource.subresource(request.subresource) if request.subresource else None
    if sub is not None and sub.kind != resource.kind:
        return Form(resource, request.subresource, Kind(sub.group, sub.version, sub.kind), _view(sub.kind))
    world = request.world
    served = world.served.get(resource.gvr) if world is not None else None
    show: Callable[[Obj], Obj] = served.show if served is not None else _same
    if served is not None and served.codec is not None and resource != (request.served or request.resource):
        show = _through(served)
    return Form(resource, request.subresource, Kind(resource.group, resource.version, resource.kind), show)


def equivalents(world: World, stored: Resource) -> list[Resource]:
    """All served versions (and groups) of what is stored as `stored`."""
    prefix = world.served[stored.gvr].registry.prefix if stored.gvr in world.served else None
    return [each.resource for each in world.served.values() if each.registry.prefix == prefix]


def _through(served: Served) -> Callable[[Obj], Obj]:
    """Custom resources of another version in this one. What a conversion webhook would have to be asked for fails: nobody is
    left out of a decision because of it."""
    codec = served.codec
    assert codec is not None

    def show(obj: Obj) -> Obj:
        shown = codec.renamed(obj)
        if shown is None:
            resource = served.resource
            text = f"unable to convert to {resource.gvr.api_version}, Resource={resource.resource}: conversion needs a webhook"
            raise internal_error(text)
        return shown

    return show


def _view(kind: str) -> Callable[[Obj], Obj]:
    """How an object looks through a subresource with a kind of its own: a Scale is made of its parent, the others
    (Binding, Eviction, PodExecOptions) are what was sent."""
    if kind != "Scale":
        return _same
    from wherry.apiserver.handlers.scale import scale_of

    return lambda obj: scale_of(obj) if obj.get("kind") != "Scale" else obj


def _same(obj: Obj) -> Obj:
    return obj
