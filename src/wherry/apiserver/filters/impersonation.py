"""`Impersonate-User` and its companions: act as somebody else, if RBAC lets you (verb `impersonate`)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from wherry.api.errors import bad_request
from wherry.apiserver.auth.attributes import Attributes
from wherry.apiserver.auth.rbac import Authorizer
from wherry.apiserver.auth.user import (
    ANONYMOUS_NAME,
    AUTHENTICATED,
    SERVICE_ACCOUNT_PREFIX,
    UNAUTHENTICATED,
    User,
    service_account_user,
)
from wherry.apiserver.registry.validation.field import quote

_USER, _UID, _GROUP, _EXTRA = "impersonate-user", "impersonate-uid", "impersonate-group", "impersonate-extra-"
REPEATED = "\n"
"""What joins the values of a header sent several times (`http.Request.headers`)."""


def impersonate(headers: Mapping[str, str], user: User, authorizer: Authorizer) -> User:
    """The user the request is to be served for. Raises 400, 403."""
    if not any(name.startswith("impersonate-") for name in headers):
        return user
    name, uid = headers.get(_USER, ""), headers.get(_UID, "")
    groups = tuple(headers[_GROUP].split(REPEATED)) if _GROUP in headers else ()
    extra = {
        unquote(key[len(_EXTRA) :]): tuple(value.split(REPEATED))
        for key, value in headers.items()
        if key.startswith(_EXTRA)
    }
    if not name:
        if groups or extra or uid:
            raise bad_request(f"requested {_go_user(uid, groups, extra)} without impersonating a user name")
        return user
    for attributes in _needed(name, uid, groups, extra):
        authorizer.check(user, attributes)
    if name.startswith(SERVICE_ACCOUNT_PREFIX) and not groups:
        namespace, _, account = name[len(SERVICE_ACCOUNT_PREFIX) :].partition(":")
        return service_account_user(namespace, account, uid, extra)
    taken_on = User(name, groups, uid, extra)
    if name == ANONYMOUS_NAME:
        return taken_on.with_group(UNAUTHENTICATED)
    return taken_on if UNAUTHENTICATED in groups else taken_on.with_group(AUTHENTICATED)


def _needed(name: str, uid: str, groups: tuple[str, ...], extra: Mapping[str, tuple[str, ...]]) -> list[Attributes]:
    """One permission per thing taken on."""
    if name.startswith(SERVICE_ACCOUNT_PREFIX):
        namespace, _, account = name[len(SERVICE_ACCOUNT_PREFIX) :].partition(":")
        needed = [Attributes("impersonate", "", "serviceaccounts", "", namespace, account)]
    else:
        needed = [Attributes("impersonate", "", "users", "", "", name)]
    needed += [Attributes("impersonate", "", "groups", "", "", group) for group in groups]
    if uid:
        needed.append(Attributes("impersonate", "authentication.k8s.io", "uids", "", "", uid))
    for key, values in extra.items():
        needed += [Attributes("impersonate", "authentication.k8s.io", "userextras", key, "", value) for value in values]
    return needed


def _go_user(uid: str, groups: tuple[str, ...], extra: Mapping[str, tuple[str, ...]]) -> str:
    """How Go prints the half-given user in Kubernetes' message."""
    listed = f"[]string{{{', '.join(map(quote, groups))}}}" if groups else "[]string(nil)"
    pairs = [f"{quote(key)}:[]string{{{', '.join(map(quote, values))}}}" for key, values in extra.items()]
    mapped = f"map[string][]string{{{', '.join(pairs)}}}" if pairs else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:{quote(uid)}, Groups:{listed}, Extra:{mapped}}}'
