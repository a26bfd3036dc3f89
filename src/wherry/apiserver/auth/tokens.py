"""Service account tokens: signed, bound to objects, checked against storage.

    issue(account, audiences, seconds, bound)   a JWT with Kubernetes' claims (`kubernetes.io`: namespace, serviceaccount, pod)
    identify(token)                             who it stands for and what must still exist, None if it is not ours
    jwks(), discovery()                         what others need to verify one (OpenID Connect discovery)

The signature is checked once per token, the objects behind it on every use. Claims: "Managing Service Accounts" in
Kubernetes' documentation; keys: RFC 7517, key id as kube-apiserver derives it (SHA-256 of the public key's DER).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct

from wherry.aio.clock import Clock
from wherry.api.resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from wherry.api.types import GVR, Obj
from wherry.apiserver.auth.user import CREDENTIAL_ID, User, service_account_user
from wherry.apiserver.registry.object_meta import new_uid

if TYPE_CHECKING:
    from wherry.apiserver.auth.signing import SigningKey

DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"
LEGACY_ISSUER = "kubernetes/serviceaccount"
_POD_NAME, _POD_UID = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"
_NODE_NAME, _NODE_UID = "authentication.kubernetes.io/node-name", "authentication.kubernetes.io/node-uid"
_LEGACY = "kubernetes.io/serviceaccount/"


class Reference(Struct, frozen=True):
    """An object a token is bound to: it must exist with this uid. A Secret that holds the token must still hold `token`."""

    gvr: GVR
    namespace: str
    name: str
    uid: str
    token: str = ""


class Identity(Struct, frozen=True):
    """What a token says once its signature holds. Times in Unix seconds."""

    user: User
    audiences: tuple[str, ...]
    expires: float | None
    not_before: float
    references: tuple[Reference, ...]


class ServiceAccountTokens:
    """Signs with one key and trusts only that."""

    def __init__(self, private_key: bytes, clock: Clock, rng: random.Random, issuer: str = DEFAULT_ISSUER) -> None:
        """`private_key` is PEM, EC P-256 or RSA."""
        self._pem = private_key
        self._clock = clock
        self._rng = rng
        self.issuer = issuer
        self.audiences: tuple[str, ...] = (issuer,)

    @cached_property
    def _key(self) -> SigningKey:
        from wherry.apiserver.auth.signing import SigningKey

        return SigningKey(self._pem)

    # -- giving out

    def issue(
        self, account: Obj, audiences: Sequence[str], seconds: int, bound: Obj | None = None, node: Obj | None = None
    ) -> tuple[str, float]:
        """A token for a ServiceAccount, good for `seconds`, and when it ends (Unix seconds). `bound` is the Pod, Secret or
        Node it dies with."""
        now = int(self._clock.time())
        metadata = account["metadata"]
        private: Obj = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata.get("uid", "")},
        }
        if bound is not None:
            kind = bound["kind"].lower()
            private[kind] = {"name": bound["metadata"]["name"], "uid": bound["metadata"].get("uid", "")}
        if node is not None:
            private["node"] = {"name": node["metadata"]["name"], "uid": node["metadata"].get("uid", "")}
        claims = {
            "aud": list(audiences),
            "exp": now + seconds,
            "iat": now,
            "nbf": now,
            "iss": self.issuer,
            "jti": new_uid(self._rng),
            "kubernetes.io": private,
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
        }
        return self._sign(claims), float(now + seconds)

    def issue_for_secret(self, account: Obj, secret: Obj) -> str:
        """The endless token of a Secret of type kubernetes.io/service-account-token; it ends with the Secret."""
        metadata = account["metadata"]
        return self._sign(
            {
                "iss": LEGACY_ISSUER,
                f"{_LEGACY}namespace": metadata["namespace"],
                f"{_LEGACY}secret.name": secret["metadata"]["name"],
                f"{_LEGACY}service-account.name": metadata["name"],
                f"{_LEGACY}service-account.uid": metadata.get("uid", ""),
                "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
            }
        )

    def _sign(self, claims: Obj) -> str:
        return self._key.sign(claims)

    # -- checking

    def identify(self, token: str) -> Identity | None:
        """What the token says, if we signed it; times, audiences and references are for the caller to check."""
        claims = self._key.verified(token)
        if claims is None:
            return None
        try:
            if claims.get("iss") == LEGACY_ISSUER:
                return _legacy_identity(claims, self.audiences, token)
            return _identity(claims) if claims.get("iss") == self.issuer else None
        except (KeyError, TypeError, AttributeError, ValueError):
            return None

    # -- telling others

    def jwks(self) -> Obj:
        """RFC 7517 key set."""
        return {"keys": [self._key.jwk()]}

    def discovery(self, server: str) -> Obj:
        """The OpenID provider document; `server` is this server's URL."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{server}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self._key.algorithm],
        }


def _identity(claims: Obj) -> Identity:
    private = claims["kubernetes.io"]
    namespace, account = private["namespace"], private["serviceaccount"]
    references = [Reference(SERVICE_ACCOUNTS, namespace, account["name"], account["uid"])]
    extra: dict[str, tuple[str, ...]] = {}
    if claims.get("jti"):
        extra[CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
    pod, secret, node = private.get("pod"), private.get("secret"), private.get("node")
    if pod:
        references.append(Reference(PODS, namespace, pod["name"], pod["uid"]))
        extra |= {_POD_NAME: (pod["name"],), _POD_UID: (pod["uid"],)}
    if secret:
        references.append(Reference(SECRETS, namespace, secret["name"], secret["uid"]))
    if node:
        extra |= {_NODE_NAME: (node["name"],), _NODE_UID: (node["uid"],)}
        if not pod:
            references.append(Reference(NODES, "", node["name"], node["uid"]))
    user = service_account_user(namespace, account["name"], account["uid"], extra)
    return Identity(user, tuple(claims["aud"]), float(claims["exp"]), float(claims["nbf"]), tuple(references))


def _legacy_identity(claims: Obj, audiences: tuple[str, ...], token: str) -> Identity:
    namespace = claims[f"{_LEGACY}namespace"]
    name, uid = claims[f"{_LEGACY}service-account.name"], claims[f"{_LEGACY}service-account.uid"]
    references = (
        Reference(SERVICE_ACCOUNTS, namespace, name, uid),
        Reference(SECRETS, namespace, claims[f"{_LEGACY}secret.name"], "", token),
    )
    return Identity(service_account_user(namespace, name, uid), audiences, None, 0.0, references)
