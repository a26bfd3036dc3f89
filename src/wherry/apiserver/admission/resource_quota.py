"""ResourceQuota: what a namespace may hold in all. Usage is counted from the objects themselves, so it never drifts.

Looked at with every write that takes more in a namespace that has a quota: all objects the quota speaks of, of which those
that changed since the last write are counted again, and what other requests are writing at this moment. A write is under
way from its check until it is durable or has failed, so that of many at the same time none takes the other's place.
"""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api.quantity import Quantity
from wherry.api.quota_tally import QuotaTally
from wherry.api.quota_usage import ZERO, applies, compute_key, usage
from wherry.api.types import GVR, Obj
from wherry.apiserver.admission.request import AdmissionRequest

RESOURCE_QUOTAS = GVR("", "v1", "resourcequotas")
TALLIES_MAX = 256
"""Quotas counted from one write to the next; those beyond are counted anew."""


class ResourceQuota:
    def __init__(self) -> None:
        self._under_way: dict[tuple[GVR, str], list[Obj]] = {}
        self._tallies: dict[tuple[str, str, GVR], QuotaTally] = {}
        """By namespace and name of the quota, and resource; used last, kept longest."""

    async def validate(self, request: AdmissionRequest) -> None:
        draft = request.object
        if draft is None or not request.namespace or not _counts(request):
            return
        quotas = list(request.context.read.list(RESOURCE_QUOTAS, request.namespace))
        for quota in quotas:
            self._check_quota(request, quota, draft)
        if quotas:
            self._announce(request, draft)

    def _check_quota(self, request: AdmissionRequest, quota: Obj, draft: Obj) -> None:
        resource = request.resource
        if not applies(quota["spec"], draft, resource.resource):
            return
        hard = quota["spec"].get("hard") or {}
        added = usage(draft, resource.group, resource.resource, hard)
        if request.operation == "CREATE":
            _need_values(request, draft, quota["metadata"]["name"], hard)
        elif request.old_object is not None:
            before = usage(request.old_object, resource.group, resource.resource, hard)
            added = {key: amount - before.get(key, ZERO) for key, amount in added.items()}
        wanted = {key: amount for key, amount in added.items() if amount > ZERO}
        if wanted:
            self._check(request, quota, wanted)

    def _check(self, request: AdmissionRequest, quota: Obj, wanted: Mapping[str, Quantity]) -> None:
        hard = quota["spec"].get("hard") or {}
        taken = self._taken(request, quota)
        used = {key: taken.get(key, ZERO) for key in wanted}
        over = sorted(key for key, amount in wanted.items() if used[key] + amount > Quantity.parse(hard[key]))
        if over:
            listed = [",".join(f"{key}={values[key]}" for key in over) for values in (wanted, used)]
            limits = ",".join(f"{key}={Quantity.parse(hard[key])}" for key in over)
            raise request.forbid(
                f"exceeded quota: {quota['metadata']['name']}, requested: {listed[0]}, used: {listed[1]}, limited: {limits}"
            )

    def _taken(self, request: AdmissionRequest, quota: Obj) -> dict[str, Quantity]:
        """What the objects of this resource and namespace take of each key, as they will be once what is under way is
        stored."""
        gvr = request.resource.gvr
        tally = self._tally(quota, gvr)
        tally.update(list(request.context.read.list(gvr, request.namespace)))
        coming = {each["metadata"].get("uid"): each for each in self._under_way.get((gvr, request.namespace)) or ()}
        if not coming:
            return tally.sums
        taken = dict(tally.sums)
        for uid, each in coming.items():
            for key, amount in tally.known(uid).items():
                taken[key] = taken[key] - amount
            for key, amount in tally.of(each).items():
                taken[key] = taken.get(key, ZERO) + amount
        return taken

    def _tally(self, quota: Obj, gvr: GVR) -> QuotaTally:
        """Of the quota as it is; a quota that changed is counted anew."""
        key = (quota["metadata"]["namespace"], quota["metadata"]["name"], gvr)
        tally = self._tallies.pop(key, None)
        if tally is None or tally.spec != quota["spec"]:
            tally = QuotaTally(quota["spec"], gvr.group, gvr.resource)
        self._tallies[key] = tally
        if len(self._tallies) > TALLIES_MAX:
            del self._tallies[next(iter(self._tallies))]
        return tally

    def _announce(self, request: AdmissionRequest, draft: Obj) -> None:
        """Count the write until it is over."""
        key = (request.resource.gvr, request.namespace)
        self._under_way.setdefault(key, []).append(draft)

        def over() -> None:
            coming = self._under_way[key]
            coming[:] = [each for each in coming if each is not draft]
            if not coming:
                del self._under_way[key]

        request.context.ended.append(over)


def _counts(request: AdmissionRequest) -> bool:
    """Whether this write can take more than was taken before."""
    resource = (request.resource.group, request.resource.resource)
    if request.operation == "CREATE":
        return not request.subresource
    if request.operation != "UPDATE":
        return False
    if request.subresource:
        return (resource, request.subresource) == (("", "pods"), "resize")
    return resource in (("", "services"), ("", "persistentvolumeclaims"))


def _need_values(request: AdmissionRequest, pod: Obj, quota: str, hard: Obj) -> None:
    """Where cpu or memory is limited, every container must say how much it takes, unless the pod says it as a whole."""
    if (request.resource.group, request.resource.resource) != ("", "pods"):
        return
    whole = pod["spec"].get("resources") or {}
    if whole.get("requests") or whole.get("limits"):
        return
    missing: dict[str, list[str]] = {}
    for key in sorted(hard):
        side, name = compute_key(key)
        if name not in ("cpu", "memory"):
            continue
        for container in (*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])):
            if name not in ((container.get("resources") or {}).get(side) or {}):
                missing.setdefault(key, []).append(container.get("name", ""))
    if missing:
        listed = "; ".join(f"{key} for: {','.join(sorted(who))}" for key, who in sorted(missing.items()))
        raise request.forbid(f"failed quota: {quota}: must specify {listed}")
