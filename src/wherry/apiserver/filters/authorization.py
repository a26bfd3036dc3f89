"""May they? Every request is put to RBAC, also those for paths that do not exist."""

from __future__ import annotations

from wherry.apiserver.auth.rbac import Attributes, Authorizer
from wherry.apiserver.auth.user import User
from wherry.apiserver.filters.request_info import RequestInfo


def authorize(info: RequestInfo, user: User, authorizer: Authorizer) -> None:
    """Raises 403."""
    authorizer.check(user, attributes(info))


def attributes(info: RequestInfo) -> Attributes:
    if not info.is_resource:
        return Attributes(info.verb, path=info.path)
    return Attributes(info.verb, info.group, info.resource, info.subresource, info.namespace, info.name)
