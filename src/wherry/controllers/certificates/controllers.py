"""One queue of requests, three things done with each: approve it for a node, sign it, delete it in time."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence

from wherry.aio.clock import Clock, rfc3339
from wherry.api.certificate_request import Names, names_of
from wherry.api.resources import CERTIFICATE_SIGNING_REQUESTS, SUBJECT_ACCESS_REVIEWS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.client.rest import Client
from wherry.controllers.certificates.lifetime import removed_at
from wherry.controllers.certificates.rules import SIGNERS, has, is_node_client, problem
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import delete_exactly

Sign = Callable[[bytes, Sequence[str], int | None], bytes]
"""(request in PEM, usages, expirationSeconds) -> a certificate of the cluster's authority in PEM."""


def build(parts: Parts, *, sign: Sign, workers: int = 5) -> Controller:
    """The controller; its keys are CertificateSigningRequests."""
    queue: WorkQueue[Request] = WorkQueue("certificates", parts.clock)
    requests = parts.factory.informer(CERTIFICATE_SIGNING_REQUESTS)

    def on_request(type: str, request: Obj, old: Obj | None) -> None:
        if type != "deleted":
            queue.add(Request.of(request))

    requests.add_handler(on_request)
    reconciler = CertificateReconciler(parts.client, requests, parts.clock, sign)
    return Controller("certificates", reconciler, queue, workers=workers, sources=(requests,))


class CertificateReconciler:
    def __init__(self, client: Client, requests: Informer, clock: Clock, sign: Sign) -> None:
        self._client = client
        self._requests = requests
        self._clock = clock
        self._sign = sign

    async def reconcile(self, request: Request) -> Result | None:
        found = self._requests.get(request.name)
        if found is None or "deletionTimestamp" in found["metadata"]:
            return None
        left = removed_at(found) - self._clock.time()
        if left <= 0:
            await delete_exactly(self._client, CERTIFICATE_SIGNING_REQUESTS, found)
            return None
        if not (found.get("status") or {}).get("certificate") and not has(found, "Denied") and not has(found, "Failed"):
            await self._decide(found)
        return Result(requeue_after=left)

    async def _decide(self, request: Obj) -> None:
        try:
            names = names_of(base64.b64decode(request["spec"]["request"]))
        except ValueError as error:
            if has(request, "Approved") and request["spec"]["signerName"] in SIGNERS:
                await self._fail(request, str(error))
            return
        if has(request, "Approved"):
            if request["spec"]["signerName"] in SIGNERS:
                await self._issue(request, names)
        elif is_node_client(request, names):
            await self._approve(request, names)

    async def _approve(self, request: Obj, names: Names) -> None:
        """If the requestor may have such a certificate without being asked: for itself, or for any node."""
        own = request["spec"].get("username") == names.common_name
        kinds = [("selfnodeclient", "self kubelet client certificate")] if own else []
        for subresource, what in (*kinds, ("nodeclient", "kubelet client certificate")):
            if await self._may(request, subresource):
                message = f"Auto approving {what} after SubjectAccessReview."
                condition = {"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message}
                await self._write(request, {}, condition, "approval")
                return

    async def _may(self, request: Obj, subresource: str) -> bool:
        spec = request["spec"]
        attributes = {
            "verb": "create",
            "group": CERTIFICATE_SIGNING_REQUESTS.group,
            "resource": CERTIFICATE_SIGNING_REQUESTS.resource,
            "subresource": subresource,
            "version": "*",
        }
        asked = {"user": spec.get("username", ""), "groups": spec.get("groups") or [], "uid": spec.get("uid", "")}
        review = {"spec": {**asked, "extra": spec.get("extra") or {}, "resourceAttributes": attributes}}
        answer = await self._client.create(
            SUBJECT_ACCESS_REVIEWS, {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", **review}
        )
        return bool(answer["status"]["allowed"])

    async def _issue(self, request: Obj, names: Names) -> None:
        spec = request["spec"]
        why = problem(spec["signerName"], names, spec["usages"])
        if why:
            await self._fail(request, why)
            return
        pem = self._sign(base64.b64decode(spec["request"]), spec["usages"], spec.get("expirationSeconds"))
        await self._write(request, {"certificate": base64.b64encode(pem).decode()}, None, "status")

    async def _fail(self, request: Obj, why: str) -> None:
        failed = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why}
        await self._write(request, {}, failed, "status")

    async def _write(self, request: Obj, status: Obj, condition: Obj | None, subresource: str) -> None:
        before = request.get("status") or {}
        conditions = before.get("conditions") or []
        if condition is not None:
            conditions = [*conditions, {**condition, "lastUpdateTime": rfc3339(self._clock.time())}]
        after = {**before, "conditions": conditions, **status}
        await self._client.update(CERTIFICATE_SIGNING_REQUESTS, {**request, "status": after}, subresource)
