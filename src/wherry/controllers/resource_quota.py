"""Says in each ResourceQuota's status what is used, counted from the objects themselves.

Nothing depends on it: admission counts for itself, so a status that lags lets nobody through. Only the kinds that some
quota speaks of are watched.
"""

from __future__ import annotations

from collections.abc import Callable

from wherry.api.quantity import Quantity
from wherry.api.quota_tally import QuotaTally
from wherry.api.quota_usage import ZERO, resource_of
from wherry.api.resources import RESOURCE_QUOTAS
from wherry.api.types import GVR, Obj
from wherry.client.informer import Informer
from wherry.reconcile.controller import Controller
from wherry.reconcile.gathering import seconds_for
from wherry.reconcile.kinds import Kinds, storable
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import is_finished
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import write_status_if_there

RESYNC_SECONDS = 300.0
"""kube-controller-manager's --resource-quota-sync-period: a kind that was not served at first may be by then."""


def build(parts: Parts, *, scheme: Kinds, workers: int = 2) -> Controller:
    """The controller; `scheme` says which kinds can be counted at the moment."""
    queue: WorkQueue[Request] = WorkQueue("resource-quota", parts.clock)
    quotas = parts.factory.informer(RESOURCE_QUOTAS)
    reconciler = QuotaReconciler(parts, quotas, scheme, queue)

    def on_quota(type: str, quota: Obj, old: Obj | None) -> None:
        if type == "deleted":
            reconciler.forget(quota)
        queue.add(Request.of(quota))

    quotas.add_handler(on_quota)
    return Controller("resource-quota", reconciler, queue, workers=workers, sources=(quotas,))


class QuotaReconciler:
    def __init__(self, parts: Parts, quotas: Informer, kinds: Kinds, queue: WorkQueue[Request]) -> None:
        self._client = parts.client
        self._factory = parts.factory
        self._quotas = quotas
        self._kinds = kinds
        self._queue = queue
        self._watched: dict[tuple[str, str], Informer] = {}
        self._tallies: dict[str, dict[tuple[str, str], QuotaTally]] = {}

    async def reconcile(self, request: Request) -> Result | None:
        quota = self._quotas.get(request.name, request.namespace)
        if quota is None or "deletionTimestamp" in quota["metadata"]:
            return None
        hard: dict[str, str] = quota["spec"].get("hard") or {}
        sums: dict[str, Quantity] = {}
        for resource in sorted({found for key in hard if (found := resource_of(key)) is not None}):
            informer = self._informer(*resource)
            if informer is not None:
                await informer.wait_synced()
                tally = self._tally(quota, resource)
                tally.update(informer.list(request.namespace))
                sums |= {key: tally.sums.get(key, ZERO) for key in hard if resource_of(key) == resource}
        status: Obj = {"hard": hard, "used": {key: str(sums[key]) for key in sorted(sums)}} if hard else {}
        await write_status_if_there(self._client, RESOURCE_QUOTAS, quota, status)
        return Result(requeue_after=RESYNC_SECONDS)

    def _tally(self, quota: Obj, resource: tuple[str, str]) -> QuotaTally:
        """Of the quota as it is; what was counted for it before is kept as long as its spec is the same."""
        tallies = self._tallies.setdefault(quota["metadata"]["uid"], {})
        tally = tallies.get(resource)
        if tally is None or tally.spec != quota["spec"]:
            tally = tallies[resource] = QuotaTally(quota["spec"], *resource)
        return tally

    def forget(self, quota: Obj) -> None:
        """It is gone."""
        self._tallies.pop(quota["metadata"]["uid"], None)

    def _informer(self, group: str, resource: str) -> Informer | None:
        """Of a served resource, with our handler; asked for again it is the same one, unless the kind went and came."""
        gvr = self._served(group, resource)
        if gvr is None:
            self._watched.pop((group, resource), None)
            return None
        informer = self._factory.informer(gvr)
        if self._watched.get((group, resource)) is not informer:
            self._watched[group, resource] = informer
            informer.add_handler(self._teller(informer, group, resource))
        return informer

    def _served(self, group: str, resource: str) -> GVR | None:
        found = (
            one for one in storable(self._kinds, "list", "watch") if (one.group, one.resource) == (group, resource)
        )
        return next((one.gvr for one in found if one.namespaced), None)

    def _teller(self, informer: Informer, group: str, resource: str) -> Callable[[str, Obj, Obj | None], None]:
        def tell(type: str, obj: Obj, old: Obj | None) -> None:
            if old is not None and old.get("spec") == obj.get("spec") and is_finished(old) == is_finished(obj):
                return
            for quota in self._quotas.list(obj["metadata"]["namespace"]):
                if any(resource_of(key) == (group, resource) for key in quota["spec"].get("hard") or {}):
                    self._queue.add_after(
                        Request.of(quota), seconds_for(informer.count(quota["metadata"]["namespace"]))
                    )

        return tell
