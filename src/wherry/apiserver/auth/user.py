"""Who is asking: authentication.k8s.io UserInfo, once authenticated."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from wherry.api.types import Obj

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS_NAME = "system:anonymous"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
"""In `extra`: which token or certificate it was, so that the audit log tells them apart."""
NODES_GROUP = "system:nodes"
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"


class User(Struct, frozen=True):
    """An authenticated name with its groups; `extra` as the wire has it (key -> values)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_user_info(self) -> Obj:
        """The `UserInfo` of TokenReview, SelfSubjectReview and admission reviews."""
        info: Obj = {"username": self.name}
        if self.uid:
            info["uid"] = self.uid
        if self.groups:
            info["groups"] = list(self.groups)
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra.items()}
        return info

    def with_group(self, group: str) -> User:
        """The same user, also in `group`."""
        return self if group in self.groups else User(self.name, (*self.groups, group), self.uid, self.extra)


ANONYMOUS = User(ANONYMOUS_NAME, (UNAUTHENTICATED,))


def service_account_user(
    namespace: str, name: str, uid: str = "", extra: Mapping[str, tuple[str, ...]] | None = None
) -> User:
    """The user a service account's token stands for, with the groups Kubernetes gives it."""
    return User(
        f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}",
        ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED),
        uid,
        extra or {},
    )
