"""pods/eviction: a DELETE that asks the PodDisruptionBudgets first (policy/v1, Kubernetes' "API-initiated Eviction")."""

from __future__ import annotations

from wherry.api import labels, meta
from wherry.api.errors import StatusError, bad_request
from wherry.api.types import GVR, Obj
from wherry.apiserver import decode
from wherry.apiserver.core import Call, Core
from wherry.apiserver.drafts import draft
from wherry.apiserver.http import Answer
from wherry.apiserver.options import write_options
from wherry.apiserver.registry.scopes import SCOPES
from wherry.apiserver.respond import answer

BUDGETS = GVR("policy", "v1", "poddisruptionbudgets")
RETRY_SECONDS = 10


async def handle(core: Core, call: Call) -> Answer:
    options = write_options(call.request, "CreateOptions")
    eviction = decode.read_object(core, call, options.field_validation)
    name, namespace = call.info.name, call.info.namespace
    if eviction["metadata"].get("name") not in (None, "", name):
        raise bad_request("name in URL does not match name in Eviction object")
    pod = call.registry.get(namespace, name).value
    delete = {"dryRun": ["All"] if options.dry_run else [], **(eviction.get("deleteOptions") or {})}
    dry_run = bool(delete["dryRun"])
    write = await core.admit(call, "CREATE", eviction, dry_run)
    if not meta.is_pod_terminal(pod) and not pod["metadata"].get("deletionTimestamp"):
        budgets = [budget for budget in core.reader.list(BUDGETS, namespace) if _covers(budget, pod)]
        if len(budgets) > 1:
            message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise StatusError(500, "InternalError", message)
        if budgets and meta.is_pod_ready(pod):
            await _take(core, call, budgets[0], dry_run)
    await call.registry.delete(namespace, name, delete, write)
    return answer(call, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)


def _covers(budget: Obj, pod: Obj) -> bool:
    selector = labels.Selector.from_object((budget.get("spec") or {}).get("selector"))
    return selector.matches(pod["metadata"].get("labels"))


async def _take(core: Core, call: Call, budget: Obj, dry_run: bool) -> None:
    """One disruption out of the budget. Raises 429 when there is none."""
    name = budget["metadata"]["name"]

    def disrupt(current: Obj) -> Obj:
        status = current.get("status") or {}
        allowed = status.get("disruptionsAllowed", 0)
        if status.get("observedGeneration", 0) < current["metadata"].get("generation", 0):
            raise _refused(name, f"The disruption budget {name} is still being processed by the server.")
        if allowed <= 0:
            needed, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
            raise _refused(
                name, f"The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"
            )
        obj: Obj = draft(current)
        obj["status"]["disruptionsAllowed"] = allowed - 1
        return obj

    registry = core.served[BUDGETS].registry
    write = core.write(call, dry_run)
    await registry.update(call.info.namespace, name, disrupt, write, SCOPES["status"])


def _refused(budget: str, message: str) -> StatusError:
    return StatusError(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        {"causes": [{"reason": "DisruptionBudget", "message": message}], "retryAfterSeconds": RETRY_SECONDS},
        {"Retry-After": str(RETRY_SECONDS)},
    )
