"""One write on its way to storage, as admission plugins see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from wherry.api.errors import StatusError, forbidden
from wherry.api.scheme import Resource
from wherry.api.types import Obj
from wherry.apiserver.auth.user import User
from wherry.apiserver.registry.strategy import Context


@dataclass(slots=True)
class AdmissionRequest:
    """`object` is the request's private draft and may be changed in place (None on DELETE); `old_object` is shared."""

    operation: Literal["CREATE", "UPDATE", "DELETE"] | str
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


class Plugin(Protocol):
    """One rule of admission."""

    async def admit(self, request: AdmissionRequest) -> None:
        """Change `request.object` in place or raise StatusError; plugins ignore what is not theirs."""
        ...
