"""The status of ValidatingAdmissionPolicies: observedGeneration and what type checking finds, written a moment after the policy.

kube-controller-manager does this in Kubernetes. CEL is loaded with the first policy.
"""

from __future__ import annotations

import logging

from wherry.aio.clock import Clock
from wherry.api.errors import StatusError
from wherry.api.types import GVR, Obj
from wherry.apiserver.admission.request import World
from wherry.apiserver.auth.user import User
from wherry.apiserver.drafts import draft
from wherry.apiserver.patience import judged
from wherry.apiserver.registry.generic import Write, no_objection
from wherry.apiserver.registry.scopes import SCOPES
from wherry.apiserver.registry.strategy import Context
from wherry.storage import errors

log = logging.getLogger(__name__)
POLICIES = GVR("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies")
USER = User("system:kube-controller-manager")
PAUSE_SECONDS = 1.0
"""Before all is looked through again, when changes came too fast to be followed."""


class PolicyStatus:
    """One per server. `context` makes the context of a write for a user."""

    def __init__(self, world: World, context: Context, clock: Clock) -> None:
        self._world = world
        self._context = context
        self._clock = clock

    async def run(self) -> None:
        """Until the storage is closed or this is cancelled."""
        served = self._world.served.get(POLICIES)
        if served is None:
            return  # Kubernetes before 1.30
        storage, prefix = self._world.storage, served.registry.prefix
        while True:
            revision = storage.revision
            for entry in storage.list(prefix):
                await self._settle(entry.value)
            watch = storage.watch(prefix, revision)
            try:
                async for change in watch:
                    if change.type != "DELETED":
                        await self._settle(change.entry.value)
            except (errors.Overrun, errors.Compacted):
                await self._clock.sleep(PAUSE_SECONDS)
            else:
                return
            finally:
                watch.close()

    async def _settle(self, policy: Obj) -> None:
        generation = policy["metadata"].get("generation")
        if (policy.get("status") or {}).get("observedGeneration") == generation:
            return
        checking = await self._checked(policy["spec"])

        def observe(current: Obj) -> Obj:
            obj: Obj = draft(current)
            if current["metadata"].get("generation") == generation:
                status = obj.get("status") or {}
                obj["status"] = {**status, "observedGeneration": generation, "typeChecking": checking}
            return obj

        registry, name = self._world.served[POLICIES].registry, policy["metadata"]["name"]
        try:
            await registry.update("", name, observe, Write(self._context, no_objection), SCOPES["status"])
        except (StatusError, errors.StorageError) as error:
            log.warning("the status of the policy %s is not written: %s", name, error)

    async def _checked(self, spec: Obj) -> Obj:
        from wherry.apiserver.admission.policies.type_checking import warnings

        scheme = self._world.scheme
        kinds = {
            gvr: (each.resource, each.schema or scheme.schema(each.resource))
            for gvr, each in self._world.served.items()
        }
        found = await judged(lambda: warnings(spec, kinds))
        return {"expressionWarnings": found} if found else {}
