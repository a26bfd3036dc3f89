"""pods/eviction: a DELETE that asks the PodDisruptionBudgets first (policy/v1, Kubernetes' "API-initiated Eviction").

A budget's last disruption is given out once, however many ask at the same time: it is taken in a read-modify-write of
the budget, together with the pod's name, so that the controller counts the pod as gone before it is.
"""

from __future__ import annotations

from wherry.aio.clock import rfc3339
from wherry.api import labels, meta
from wherry.api.errors import StatusError, bad_request, forbidden, is_conflict
from wherry.api.types import GVR, Obj
from wherry.apiserver import decode
from wherry.apiserver.core import Call, Core
from wherry.apiserver.drafts import draft
from wherry.apiserver.http import Answer
from wherry.apiserver.options import write_options
from wherry.apiserver.registry.generic import Write, no_objection
from wherry.apiserver.registry.scopes import SCOPES
from wherry.apiserver.respond import answer

BUDGETS = GVR("policy", "v1", "poddisruptionbudgets")
RETRY_SECONDS = 10
"""What a client is told to wait while the controller has not seen the budget yet."""
ANNOUNCED_MAX = 2000
"""Kubernetes' MaxDisruptedPodSize: that many evictions nobody has confirmed mean that the controller does not work."""
TRIES = 5
"""How often to judge anew a pod that changed while it was judged."""
_VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."


async def handle(core: Core, call: Call) -> Answer:
    options = write_options(call.request, "CreateOptions")
    eviction = decode.read_object(core, call, options.field_validation)
    name = call.info.name
    if eviction["metadata"].get("name") != name:
        raise bad_request("name in URL does not match name in Eviction object")
    await core.admit(call, "CREATE", eviction, options.dry_run)
    delete = {"dryRun": ["All"] if options.dry_run else [], **(eviction.get("deleteOptions") or {})}
    for tries_left in range(TRIES - 1, -1, -1):
        pod = call.registry.get(call.info.namespace, name).value
        unchanged = await _permit(core, call, pod, bool(delete["dryRun"]))
        try:
            await _delete(core, call, pod, delete, unchanged=unchanged)
            break
        except StatusError as error:
            # It may have become healthy since: then the budget has a say. A caller's own precondition is his affair.
            if not is_conflict(error) or not unchanged or delete.get("preconditions") or not tries_left:
                raise
    return answer(call, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)


async def _delete(core: Core, call: Call, pod: Obj, delete: Obj, *, unchanged: bool) -> None:
    """Say in the pod why it goes, then delete it; with `unchanged` only this very version of it."""
    name, namespace, dry_run = call.info.name, call.info.namespace, bool(delete["dryRun"])
    conditions = dict(delete.get("preconditions") or {})
    if unchanged and not conditions.get("resourceVersion"):
        conditions["resourceVersion"] = pod["metadata"]["resourceVersion"]
    goes = not meta.is_pod_terminal(pod) and not pod["metadata"].get("deletionTimestamp")
    # Another pod of that name is not told; the deletion says what is wrong.
    if goes and not dry_run and conditions.get("uid") in (None, pod["metadata"]["uid"]):
        marked = await _mark(core, call, conditions)
        if conditions.get("resourceVersion"):
            conditions["resourceVersion"] = marked["metadata"]["resourceVersion"]
    if conditions:
        delete = {**delete, "preconditions": conditions}
    await call.registry.delete(namespace, name, delete, Write(core.context(call.user, dry_run=dry_run), no_objection))


async def _mark(core: Core, call: Call, conditions: Obj) -> Obj:
    """The pod's condition DisruptionTarget, which Job failure policies and people read."""
    now = rfc3339(core.clock.time())
    reason = {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}

    def mark(current: Obj) -> Obj:
        obj: Obj = draft(current)
        obj["metadata"]["resourceVersion"] = conditions.get("resourceVersion") or ""
        status = obj.setdefault("status", {})
        kept = [one for one in status.get("conditions") or () if one["type"] != "DisruptionTarget"]
        status["conditions"] = [
            *kept,
            {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": now, **reason},
        ]
        return obj

    write = Write(core.context(call.user, dry_run=False), no_objection)
    result = await call.registry.update(call.info.namespace, call.info.name, mark, write, SCOPES["status"])
    return result.value


async def _permit(core: Core, call: Call, pod: Obj, dry_run: bool) -> bool:
    """Ask the budget that covers the pod; raises 429 when it says no. True: only as long as the pod is as it is."""
    phase = (pod.get("status") or {}).get("phase")
    if meta.is_pod_terminal(pod) or phase == "Pending" or pod["metadata"].get("deletionTimestamp"):
        return False  # it serves nobody
    budgets = [budget for budget in core.reader.list(BUDGETS, call.info.namespace) if _covers(budget, pod)]
    if len(budgets) > 1:
        message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise StatusError(500, "", message)
    if not budgets:
        return False
    budget = budgets[0]
    if not meta.is_pod_ready(pod) and _spares_unhealthy(budget):
        return True
    await _take(core, call, budget["metadata"]["name"], dry_run)
    return False


def _covers(budget: Obj, pod: Obj) -> bool:
    selector = labels.Selector.from_object((budget.get("spec") or {}).get("selector"))
    return selector.matches(pod["metadata"].get("labels"))


def _spares_unhealthy(budget: Obj) -> bool:
    """Whether a running pod that is not ready may go without asking: always, or while the application is well."""
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired = status.get("desiredHealthy", 0)
    return bool(desired > 0 and status.get("currentHealthy", 0) >= desired)


async def _take(core: Core, call: Call, name: str, dry_run: bool) -> None:
    """One disruption out of the budget, with the pod's name. Raises 429 when there is none."""
    now = rfc3339(core.clock.time())

    def disrupt(current: Obj) -> Obj:
        status = current.get("status") or {}
        allowed, announced = status.get("disruptionsAllowed", 0), status.get("disruptedPods") or {}
        if status.get("observedGeneration", 0) < current["metadata"].get("generation", 0):
            text = f"The disruption budget {name} is still being processed by the server."
            raise _refused(text, RETRY_SECONDS)
        if allowed < 0:
            raise forbidden("pods", "", "", "pdb disruptions allowed is negative")
        if len(announced) > ANNOUNCED_MAX:
            text = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
            raise forbidden("pods", "", "", text)
        if allowed == 0:
            raise _refused(_why_none(name, status), 0)
        obj: Obj = draft(current)
        obj["status"] |= {"disruptionsAllowed": allowed - 1, "disruptedPods": {**announced, call.info.name: now}}
        if allowed == 1:
            _say_insufficient(obj["status"], now)
        return obj

    registry = core.served[BUDGETS].registry
    write = Write(core.context(call.user, dry_run), no_objection)
    await registry.update(call.info.namespace, name, disrupt, write, SCOPES["status"])


def _say_insufficient(status: Obj, now: str) -> None:
    """What the controller will say as soon as it looks: the condition and the number change together."""
    for condition in status.get("conditions") or ():
        if condition["type"] == "DisruptionAllowed" and condition["status"] == "True":
            condition |= {"status": "False", "reason": "InsufficientPods", "lastTransitionTime": now}


def _why_none(name: str, status: Obj) -> str:
    for condition in status.get("conditions") or ():
        if condition["type"] == "DisruptionAllowed" and condition.get("reason") == "SyncFailed":
            failure = condition.get("message", "")
            return (
                f"The disruption budget {name} does not allow evicting pods currently because it failed sync: {failure}"
            )
    needed, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    return f"The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"


def _refused(why: str, seconds: int) -> StatusError:
    details: Obj = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    headers: dict[str, str] = {}
    if seconds:
        details["retryAfterSeconds"] = seconds
        headers["Retry-After"] = str(seconds)
    return StatusError(429, "TooManyRequests", _VIOLATES, details, headers)
