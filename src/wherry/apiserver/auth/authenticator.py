"""Who sent a request: client certificate, static token, service account token, else anonymous.

Rule 1: a credential that does not hold is 401; no credential at all is 401 too, but for health and version, where it is
`system:anonymous` (as with kube-apiserver's `anonymous.conditions`).
Rule 2: a token's signature is checked once and remembered; its expiry and the objects it is bound to on every use.
"""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from wherry.aio.clock import Clock, parse_rfc3339
from wherry.api.errors import unauthorized
from wherry.apiserver.auth import websocket_token
from wherry.apiserver.auth.tokens import Identity, Reference, ServiceAccountTokens
from wherry.apiserver.auth.user import ANONYMOUS, AUTHENTICATED, User
from wherry.apiserver.http import Request
from wherry.apiserver.registry.strategy import Reader

REMEMBERED_TOKENS = 4096
"""Each pod has one; older ones are verified again."""
DELETED_POD_GRACE_SECONDS = 60
"""A pod's token outlives its deletion timestamp by this, so that it can say goodbye (as in Kubernetes)."""

_OPEN = frozenset({"healthz", "livez", "readyz", "version"})


def open_to_all(path: str) -> bool:
    """Whether somebody without credentials is taken for `system:anonymous` there, and left to the authorizer."""
    return path[1:].partition("/")[0] in _OPEN


class Verdict(Struct, frozen=True):
    """The result of looking at a token for some audiences: a user, or what is wrong with it."""

    user: User | None
    audiences: tuple[str, ...] = ()
    error: str = ""


class Authenticator:
    """Certificates are verified by TLS before they come here (`Request.certificate_user`)."""

    def __init__(
        self, static_tokens: Mapping[str, User], tokens: ServiceAccountTokens, reader: Reader, clock: Clock
    ) -> None:
        self._static = {token: user.with_group(AUTHENTICATED) for token, user in static_tokens.items()}
        self._tokens = tokens
        self._reader = reader
        self._clock = clock
        self._known: OrderedDict[str, Identity] = OrderedDict()

    def authenticate(self, request: Request) -> User:
        """Raises 401."""
        if request.certificate_user is not None:
            return request.certificate_user.with_group(AUTHENTICATED)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            found = websocket_token.taken_from(request.headers)
            if found is not None:
                token, request.headers = found
            elif open_to_all(request.path):
                return ANONYMOUS
            else:
                raise unauthorized()
        verdict = self.review(token.strip(), self._tokens.audiences)
        if verdict.user is None:
            raise unauthorized()
        return verdict.user

    def review(self, token: str, audiences: Sequence[str]) -> Verdict:
        """What TokenReview answers."""
        static = self._static.get(token)
        if static is not None:
            return Verdict(static, tuple(audiences))
        identity = self._identify(token)
        if identity is None:
            return Verdict(None, error="invalid bearer token")
        common = tuple(each for each in identity.audiences if each in audiences)
        if not common:
            have, want = _quoted(identity.audiences), _quoted(audiences)
            problem = f"token audiences {have} is invalid for the target audiences {want}"
            return Verdict(None, error=f"[invalid bearer token, {problem}]")
        problem = self._expired(identity) or self._dangling(identity)
        if problem:
            return Verdict(None, error=f"[invalid bearer token, {problem}]")
        return Verdict(identity.user, common)

    def _identify(self, token: str) -> Identity | None:
        identity = self._known.get(token)
        if identity is None:
            identity = self._tokens.identify(token)
            if identity is not None:
                self._known[token] = identity
                if len(self._known) > REMEMBERED_TOKENS:
                    self._known.popitem(last=False)
        return identity

    def _expired(self, identity: Identity) -> str:
        now = self._clock.time()
        if identity.expires is not None and now >= identity.expires:
            return "service account token has expired"
        if now < identity.not_before:
            return "service account token is not valid yet"
        return ""

    def _dangling(self, identity: Identity) -> str:
        for reference in identity.references:
            problem = self._missing(reference)
            if problem:
                return problem
        return ""

    def _missing(self, reference: Reference) -> str:
        obj = self._reader.get(reference.gvr, reference.name, reference.namespace)
        if obj is None or (reference.uid and obj["metadata"].get("uid") != reference.uid):
            return "service account token has been invalidated"
        if reference.token and (obj.get("data") or {}).get("token") != b64encode(reference.token.encode()).decode():
            return "service account token has been invalidated"
        deleted = obj["metadata"].get("deletionTimestamp")
        if deleted and self._clock.time() > parse_rfc3339(deleted) + DELETED_POD_GRACE_SECONDS:
            return "service account token has been invalidated"
        return ""


def _quoted(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
