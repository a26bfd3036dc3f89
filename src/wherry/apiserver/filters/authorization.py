"""May they? Every request is put to the authorizer, also those for paths that do not exist."""

from __future__ import annotations

import re
from collections.abc import Mapping

from wherry.apiserver.auth.attributes import Attributes
from wherry.apiserver.auth.rbac import Authorizer
from wherry.apiserver.auth.user import User
from wherry.apiserver.filters.request_info import RequestInfo

_SELECTING = frozenset({"list", "watch", "deletecollection"})
_REQUIREMENT = re.compile(r"([^=!,]+)(==?|!=)([^,]*)")
_NO_QUERY: Mapping[str, str] = {}


def authorize(info: RequestInfo, user: User, authorizer: Authorizer, query: Mapping[str, str] = _NO_QUERY) -> None:
    """Raises 403."""
    authorizer.check(user, attributes(info, query))


def attributes(info: RequestInfo, query: Mapping[str, str] = _NO_QUERY) -> Attributes:
    """A list that selects one name is a request for that name, so that `resourceNames` of a role can allow it."""
    if not info.is_resource:
        return Attributes(info.verb, path=info.path)
    name, fields = info.name, _NO_FIELDS
    if "fieldSelector" in query and info.verb in _SELECTING:
        fields = requirements(query["fieldSelector"])
        name = name or next((value for key, sign, value in fields if key == "metadata.name" and sign == "="), "")
    return Attributes(info.verb, info.group, info.resource, info.subresource, info.namespace, name, fields=fields)


_NO_FIELDS: tuple[tuple[str, str, str], ...] = ()


def requirements(selector: str) -> tuple[tuple[str, str, str], ...]:
    """A field selector as (field, `=` or `!=`, value); what cannot be read requires nothing, the handler refuses it later."""
    parts = [_REQUIREMENT.fullmatch(part) for part in selector.split(",")]
    return tuple((part[1], "!=" if part[2] == "!=" else "=", part[3]) for part in parts if part is not None)
