"""Fills in the rules of ClusterRoles with an aggregationRule: those of every ClusterRole its selectors choose.

The authorizer collects them itself and does not wait for this; here they become visible in the object, as in Kubernetes.
"""

from __future__ import annotations

from collections.abc import Sequence

from wherry.api.labels import Selector
from wherry.api.resources import CLUSTER_ROLES
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.client.rest import Client
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue


def build(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller; its keys are ClusterRoles with an aggregationRule."""
    queue: WorkQueue[Request] = WorkQueue("cluster-role-aggregation", parts.clock)
    roles = parts.factory.informer(CLUSTER_ROLES)

    def on_role(type: str, role: Obj, old: Obj | None) -> None:
        # Any role may be chosen by any aggregated one, now or before its labels changed; these are few.
        for each in roles.list():
            if each.get("aggregationRule"):
                queue.add(Request.of(each))

    roles.add_handler(on_role)
    return Controller(
        "cluster-role-aggregation", AggregationReconciler(parts.client, roles), queue, workers=workers, sources=(roles,)
    )


class AggregationReconciler:
    def __init__(self, client: Client, roles: Informer) -> None:
        self._client = client
        self._roles = roles

    async def reconcile(self, request: Request) -> Result | None:
        role = self._roles.get(request.name)
        if role is None or not role.get("aggregationRule") or "deletionTimestamp" in role["metadata"]:
            return None
        rules = collected(role, self._roles.list())
        if rules != (role.get("rules") or []):
            await self._client.update(CLUSTER_ROLES, {**role, "rules": rules})
        return None


def collected(role: Obj, roles: Sequence[Obj]) -> list[Obj]:
    """The rules its selectors choose among `roles`: by name, each rule once. Pure."""
    rules: list[Obj] = []
    ordered = sorted(roles, key=lambda each: str(each["metadata"]["name"]))
    for text in role["aggregationRule"].get("clusterRoleSelectors") or []:
        selector = Selector.from_object(text)
        for other in ordered:
            if other["metadata"]["name"] == role["metadata"]["name"] or not selector.matches(
                other["metadata"].get("labels")
            ):
                continue
            for rule in other.get("rules") or []:
                if rule not in rules:
                    rules.append(rule)
    return rules
