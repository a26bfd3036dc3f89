"""Every namespace has a ServiceAccount `default`: pods that name none run as it."""

from __future__ import annotations

from wherry.api.errors import StatusError, is_already_exists
from wherry.api.resources import NAMESPACES, SERVICE_ACCOUNTS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.client.rest import Client
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue

NAME = "default"


def build(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller; its keys are namespaces."""
    queue: WorkQueue[Request] = WorkQueue("service-account", parts.clock)
    namespaces, accounts = parts.factory.informer(NAMESPACES), parts.factory.informer(SERVICE_ACCOUNTS)
    namespaces.add_handler(lambda type, obj, old: queue.add(Request.of(obj)))

    def on_account(type: str, account: Obj, old: Obj | None) -> None:
        if type == "deleted" and account["metadata"]["name"] == NAME:
            queue.add(Request("", account["metadata"]["namespace"]))

    accounts.add_handler(on_account)
    reconciler = ServiceAccountReconciler(parts.client, namespaces, accounts)
    return Controller("service-account", reconciler, queue, workers=workers, sources=(namespaces, accounts))


class ServiceAccountReconciler:
    def __init__(self, client: Client, namespaces: Informer, accounts: Informer) -> None:
        self._client = client
        self._namespaces = namespaces
        self._accounts = accounts

    async def reconcile(self, request: Request) -> Result | None:
        namespace = self._namespaces.get(request.name)
        if namespace is None or "deletionTimestamp" in namespace["metadata"]:
            return None
        if self._accounts.get(NAME, request.name) is not None:
            return None
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": NAME, "namespace": request.name},
        }
        try:
            await self._client.create(SERVICE_ACCOUNTS, account)
        except StatusError as error:
            if not is_already_exists(error):
                raise
        return None
