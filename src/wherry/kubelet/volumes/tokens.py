"""Service account tokens for projected volumes, from the TokenRequest API; fetched again at 80 % of their life.

A token is bound to its pod and dies with it. Kept in memory only.
"""

from __future__ import annotations

import asyncio
import logging

from msgspec import Struct

from wherry.aio.clock import Clock, parse_rfc3339
from wherry.api.errors import StatusError
from wherry.api.resources import SERVICE_ACCOUNTS
from wherry.api.types import Obj
from wherry.client.rest import Client
from wherry.kubelet import pod_spec
from wherry.kubelet.volumes.payload import Token

log = logging.getLogger(__name__)

REFRESH_SHARE = 0.8  # kubelet: 80 % of the lifetime, or 24 hours if that is sooner
REFRESH_SECONDS_MAX = 24 * 3600.0
RETRY_SECONDS = 10.0
REQUESTS_MAX = 4  # at once; more would only wait in the API server, each with a connection of its own


class _Held(Struct, frozen=True):
    text: str
    refresh_at: float


class Tokens:
    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._slots = asyncio.Semaphore(REQUESTS_MAX)
        self._held: dict[tuple[str, Token], _Held] = {}

    async def get(self, pod: Obj, token: Token) -> str:
        """A token with, normally, at least a fifth of its life left. The first raises StatusError, ConnectionError."""
        key = (pod_spec.uid_of(pod), token)
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = await self._request(pod, token)
        elif held.refresh_at <= self._clock.time():
            try:
                held = await self._request(pod, token)
            except (StatusError, ConnectionError, TimeoutError) as error:
                log.warning("token of pod %s not renewed: %s", key[0], error)
                held = _Held(held.text, self._clock.time() + RETRY_SECONDS)  # the old one is good for a while yet
            self._held[key] = held
        return held.text

    def refresh_at(self, uid: str) -> float | None:
        """When the first token of a pod is due, in Unix seconds."""
        return min((held.refresh_at for (owner, _), held in self._held.items() if owner == uid), default=None)

    def forget(self, uid: str) -> None:
        for key in [key for key in self._held if key[0] == uid]:
            del self._held[key]

    async def _request(self, pod: Obj, token: Token) -> _Held:
        spec: Obj = {
            "audiences": [token.audience] if token.audience else [],
            "expirationSeconds": token.expiration_seconds,
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": pod_spec.name_of(pod),
                "uid": pod_spec.uid_of(pod),
            },
        }
        body: Obj = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": spec}
        account = pod["spec"].get("serviceAccountName") or "default"
        now = self._clock.time()
        async with self._slots:
            answer = await self._client.create(
                SERVICE_ACCOUNTS, body, pod_spec.namespace_of(pod), subresource="token", name=account
            )
        expires = parse_rfc3339(answer["status"]["expirationTimestamp"])
        wait = min(max(expires - now, 0.0) * REFRESH_SHARE, REFRESH_SECONDS_MAX)
        return _Held(answer["status"]["token"], now + wait)
