"""One write on its way to storage, as admission plugins see it, and what plugins are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct, field

from wherry.api.errors import StatusError, forbidden
from wherry.api.scheme import Resource
from wherry.api.types import GVR, Obj
from wherry.apiserver.auth.user import User
from wherry.apiserver.registry.strategy import Context

if TYPE_CHECKING:
    from wherry.aio.clock import Clock
    from wherry.api.scheme import Scheme
    from wherry.apiserver.auth.rbac import Authorizer
    from wherry.apiserver.core import Served
    from wherry.apiserver.http import Request
    from wherry.apiserver.outward import Outward
    from wherry.storage.interface import Storage


class World(Protocol):
    """The server around the request, for plugins that look beyond it: `Core` is one."""

    @property
    def storage(self) -> Storage: ...
    @property
    def scheme(self) -> Scheme: ...
    @property
    def served(self) -> Mapping[GVR, Served]: ...
    @property
    def outward(self) -> Outward: ...
    @property
    def authorizer(self) -> Authorizer: ...
    @property
    def clock(self) -> Clock: ...


class Reinvocation(Struct):
    """Whether the first phase runs twice: once something outside changed the object, the plugins get to see the result."""

    again: bool = False
    """This is the second time."""
    wanted: bool = False
    memory: dict[str, Any] = field(default_factory=dict)
    """What a plugin remembers of the first time, by its name."""


class AdmissionRequest(Struct):
    """`object` is the request's private draft and may be changed in place (None on DELETE); `old_object` is shared.

    Both are in the stored version of `resource`; `served` is the version the client speaks, None when it is the same.
    """

    operation: Literal["CREATE", "UPDATE", "DELETE", "CONNECT"] | str
    resource: Resource
    subresource: str
    namespace: str
    name: str
    object: Obj | None
    old_object: Obj | None
    user: User
    dry_run: bool
    options: Obj
    context: Context
    served: Resource | None = None
    world: World | None = None
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    """For the audit log."""
    reinvocation: Reinvocation = field(default_factory=Reinvocation)
    origin: Request | None = None
    """The client's request this belongs to."""

    def is_for(self, group: str, resource: str, *operations: str) -> bool:
        """Whether this is one of `operations` on the object itself, not on a subresource."""
        return (
            self.operation in operations
            and self.resource.resource == resource
            and self.resource.group == group
            and not self.subresource
        )

    def forbid(self, why: str) -> StatusError:
        """403 `pods "x" is forbidden: why`, to be raised."""
        metadata = (self.object or {}).get("metadata") or {}
        name = self.name or metadata.get("name") or metadata.get("generateName") or "Unknown"
        return forbidden(self.resource.resource, self.resource.group, name, why)

    def warn(self, text: str) -> None:
        """Say it to the client, once."""
        if text not in self.warnings:
            self.warnings.append(text)


class Plugin(Protocol):
    """One rule of admission. It has `admit`, `validate`, or both. A class attribute `concerns`, a frozenset of (group,
    plural), says that it has to do with no other resources: it is not even asked about them. `name`: what Kubernetes calls it,
    where that is not the name of the class."""


class Mutating(Plugin, Protocol):
    """First phase: before name and defaults of the server are filled in and before validation."""

    async def admit(self, request: AdmissionRequest) -> None:
        """Change `request.object` in place or raise StatusError; plugins ignore what is not theirs."""
        ...


class Validating(Plugin, Protocol):
    """Second phase: of what is about to be stored."""

    async def validate(self, request: AdmissionRequest) -> None:
        """Raise StatusError or let it be."""
        ...


class Outgoing(Plugin, Protocol):
    """A plugin that asks somebody outside this process."""

    def asks(self, world: World, resource: Resource, subresource: str, operation: str) -> bool:
        """Whether it may do so for a write of this resource (its stored version) or of a part of it."""
        ...
