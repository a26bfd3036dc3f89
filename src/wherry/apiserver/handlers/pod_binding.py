"""pods/binding (and the older `bindings`): the scheduler's only write, a Pod gets its node."""

from __future__ import annotations

from wherry.aio.clock import rfc3339
from wherry.api import meta
from wherry.api.errors import Cause, StatusError, bad_request, conflict, not_found
from wherry.api.types import Obj
from wherry.apiserver import decode
from wherry.apiserver.core import Call, Core
from wherry.apiserver.drafts import draft
from wherry.apiserver.http import Answer
from wherry.apiserver.options import write_options
from wherry.apiserver.registry.scopes import restore
from wherry.apiserver.registry.strategy import Context, Strategy
from wherry.apiserver.respond import answer


class _Bind:
    """Scope of a binding: what `change` wrote is the whole difference, nothing is reset or validated again."""

    def prepare(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> None:
        spec, status, metadata = obj["spec"], obj["status"], obj["metadata"]
        restore(obj, old)
        obj["spec"], obj["status"] = spec, status
        for key in ("annotations", "labels"):
            if key in metadata:
                obj["metadata"][key] = metadata[key]

    def validate(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        return []


async def handle(core: Core, call: Call) -> Answer:
    options = write_options(call.request, "CreateOptions")
    binding = decode.read_object(core, call, options.field_validation)
    name = binding["metadata"].get("name")
    if call.info.name and name != call.info.name:
        raise bad_request("name in URL does not match name in Binding object")
    name = call.info.name or name or ""
    write = await core.admit(call, "CREATE", binding, options.dry_run)
    target = binding.get("target") or {}
    if target.get("kind", "") not in ("", "Node"):
        quoted = target["kind"]
        text = f'target.kind: Unsupported value: "{quoted}": supported values: "Node", "<empty>"'
        raise bad_request(text)
    node = target.get("name")
    if not node:
        raise bad_request("target.name: Required value")

    def bind(pod: Obj) -> Obj:
        return _bound(core, pod, node, binding["metadata"])

    try:
        await call.registry.update(call.info.namespace, name, bind, write, _Bind())
    except StatusError as error:
        if error.code == 404:
            raise not_found("pods", name) from None
        raise
    return answer(call, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)


def _bound(core: Core, pod: Obj, node: str, binding: Obj) -> Obj:
    """The pod on its node. Raises 409 when it is elsewhere, gated or going."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    if binding.get("uid") and binding["uid"] != pod["metadata"]["uid"]:
        why = (
            f"Precondition failed: UID in precondition: {binding['uid']}, UID in object meta: {pod['metadata']['uid']}"
        )
        raise conflict("pods/binding", name, why)
    if pod["metadata"].get("deletionTimestamp"):
        raise conflict("pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise conflict("pods/binding", name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise conflict("pods/binding", name, f"pod {name} has non-empty .spec.schedulingGates")
    obj: Obj = draft(pod)
    obj["spec"]["nodeName"] = node
    now = rfc3339(core.clock.time())
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    status = obj.setdefault("status", {})
    # Since Kubernetes 1.35: a promise of room has served its purpose.
    status.pop("nominatedNodeName", None)
    status["conditions"] = meta.set_condition(status.get("conditions") or [], scheduled, now)
    for key in ("annotations", "labels"):
        if binding.get(key):
            obj["metadata"][key] = {**(obj["metadata"].get(key) or {}), **binding[key]}
    return obj
