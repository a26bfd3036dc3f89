"""Fills in Secrets of type kubernetes.io/service-account-token, and deletes those whose ServiceAccount is gone.

Nobody needs such a Secret to run pods (those get short-lived tokens); people make one for a client outside.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from wherry.api.errors import StatusError, is_not_found
from wherry.api.resources import SECRETS, SERVICE_ACCOUNTS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.client.rest import Client
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly

TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
ACCOUNT_INDEX = "service-account"

Sign = Callable[[Obj, Obj], str]
"""sign(service_account, secret) -> a token that does not expire and is valid as long as both exist."""


def build(parts: Parts, *, certificate: str, sign: Sign, workers: int = 5) -> Controller:
    """The controller; `certificate` is the API server's CA in PEM. Its keys are Secrets."""
    queue: WorkQueue[Request] = WorkQueue("service-account-token", parts.clock)
    secrets, accounts = parts.factory.informer(SECRETS), parts.factory.informer(SERVICE_ACCOUNTS)
    secrets.add_index(ACCOUNT_INDEX, _account_keys)

    def on_secret(type: str, secret: Obj, old: Obj | None) -> None:
        if secret.get("type") == TYPE and type != "deleted":
            queue.add(Request.of(secret))

    def on_account(type: str, account: Obj, old: Obj | None) -> None:
        for secret in secrets.by_index(ACCOUNT_INDEX, str(Request.of(account))):
            queue.add(Request.of(secret))

    secrets.add_handler(on_secret)
    accounts.add_handler(on_account)
    reconciler = TokenReconciler(parts.client, secrets, accounts, certificate, sign)
    return Controller("service-account-token", reconciler, queue, workers=workers, sources=(secrets, accounts))


def _account_keys(secret: Obj) -> list[str]:
    name = (secret["metadata"].get("annotations") or {}).get(ACCOUNT_NAME)
    return [f"{secret['metadata']['namespace']}/{name}"] if secret.get("type") == TYPE and name else []


class TokenReconciler:
    def __init__(self, client: Client, secrets: Informer, accounts: Informer, certificate: str, sign: Sign) -> None:
        self._client = client
        self._secrets = secrets
        self._accounts = accounts
        self._certificate = certificate
        self._sign = sign

    async def reconcile(self, request: Request) -> Result | None:
        secret = self._secrets.get(request.name, request.namespace)
        if secret is None or secret.get("type") != TYPE or "deletionTimestamp" in secret["metadata"]:
            return None
        annotations = secret["metadata"].get("annotations") or {}
        account = await self._account(annotations.get(ACCOUNT_NAME, ""), request.namespace)
        wanted_uid = annotations.get(ACCOUNT_UID)
        if account is None or (wanted_uid and wanted_uid != account["metadata"]["uid"]):
            await delete_exactly(self._client, SECRETS, secret)
            return None
        after = filled(secret, account, self._certificate, self._sign)
        if after is not secret:
            await self._client.update(SECRETS, after)
        return None

    async def _account(self, name: str, namespace: str) -> Obj | None:
        """From the informer, or, before a Secret is deleted for lack of it, from the API."""
        account = self._accounts.get(name, namespace)
        if account is not None or not name:
            return account
        try:
            return await self._client.get(SERVICE_ACCOUNTS, name, namespace)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise


def filled(secret: Obj, account: Obj, certificate: str, sign: Sign) -> Obj:
    """The Secret with token, CA and namespace; the same object if nothing was missing or outdated."""
    data = dict(secret.get("data") or {})
    before = dict(data)
    data["ca.crt"] = _encoded(certificate)
    data["namespace"] = _encoded(secret["metadata"]["namespace"])
    if not data.get("token"):
        data["token"] = _encoded(sign(account, secret))
    annotations = secret["metadata"].get("annotations") or {}
    uid = account["metadata"]["uid"]
    if data == before and annotations.get(ACCOUNT_UID) == uid:
        return secret
    metadata = {**secret["metadata"], "annotations": {**annotations, ACCOUNT_UID: uid}}
    return {**secret, "metadata": metadata, "data": data}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
