"""serviceaccounts/token: a bound token for a service account (authentication.k8s.io/v1 TokenRequest)."""

from __future__ import annotations

from wherry.aio.clock import rfc3339
from wherry.api.errors import Cause, bad_request, conflict, invalid, not_found
from wherry.api.resources import NODES, PODS, SECRETS
from wherry.api.types import GVR, Obj
from wherry.apiserver import decode
from wherry.apiserver.apply.field_manager import manager_of
from wherry.apiserver.core import Call, Core
from wherry.apiserver.http import Answer
from wherry.apiserver.options import write_options
from wherry.apiserver.registry.validation import field
from wherry.apiserver.respond import answer

DEFAULT_SECONDS = 3600
SECONDS_MIN = 600
SECONDS_MAX = 1 << 32
_BOUND = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}


async def handle(core: Core, call: Call) -> Answer:
    options = write_options(call.request, "CreateOptions")
    request = decode.read_object(core, call, options.field_validation)
    spec: Obj = request.get("spec") or {}
    account = call.registry.get(call.info.namespace, call.info.name).value
    seconds = spec.get("expirationSeconds", DEFAULT_SECONDS)
    causes = _check_seconds(seconds)
    if causes:
        raise invalid("TokenRequest", "authentication.k8s.io", "", causes)
    _check_metadata(request["metadata"], account["metadata"])
    request["spec"] = {**spec, "expirationSeconds": seconds}
    manager = manager_of(options.field_manager, call.request.headers.get("user-agent", ""))
    core.field_managers.own_new(request, manager, "token")
    await core.admit(call, "CREATE", request, options.dry_run)
    spec = request.get("spec") or {}  # which admission may have changed
    seconds = spec.get("expirationSeconds", DEFAULT_SECONDS)
    if causes := _check_seconds(seconds):
        raise invalid("TokenRequest", "authentication.k8s.io", "", causes)
    audiences = spec.get("audiences") or list(core.tokens.audiences)
    reference = spec.get("boundObjectRef")
    bound = _bound_object(core, call.info.namespace, account, reference) if reference else None
    node = _node_of(core, bound)
    token, expires = core.tokens.issue(account, audiences, seconds, bound, node)
    metadata = account["metadata"]
    return answer(
        call,
        {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "creationTimestamp": rfc3339(core.clock.time()),
                "managedFields": request["metadata"]["managedFields"],
            },
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference},
            "status": {"token": token, "expirationTimestamp": rfc3339(expires)},
        },
        201,
    )


def _check_metadata(said: Obj, account: Obj) -> None:
    """Raises 422."""
    for key in ("name", "namespace"):
        if said.get(key) and said[key] != account[key]:
            cause = field.invalid(f"metadata.{key}", said[key], f"must match the service account {key} if specified")
            raise invalid("TokenRequest", "authentication.k8s.io", account["name"], [cause])


def _check_seconds(seconds: int) -> list[Cause]:
    path = "spec.expirationSeconds"
    if seconds < SECONDS_MIN:
        return [field.invalid(path, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > SECONDS_MAX:
        return [field.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []


def _bound_object(core: Core, namespace: str, account: Obj, reference: Obj) -> Obj:
    """The object the token dies with. Raises 400, 404, 409."""
    kind, api_version = reference.get("kind", ""), reference.get("apiVersion", "")
    gvr: GVR | None = _BOUND.get(kind) if api_version == "v1" else None
    if gvr is None:
        group, _, version = api_version.rpartition("/")
        raise bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
    name = reference.get("name", "")
    found = core.reader.get(gvr, name, namespace)
    if found is None:
        raise not_found(gvr.resource, name)
    uid = reference.get("uid")
    if uid and uid != found["metadata"]["uid"]:
        why = f"the UID in the bound object reference ({uid}) does not match the UID in record. "
        raise conflict(kind, name, f"{why}The object might have been deleted and then recreated")
    if gvr == PODS and found["spec"].get("serviceAccountName") != account["metadata"]["name"]:
        problem = (
            f"cannot bind token for serviceaccount {field.quote(account['metadata']['name'])} to pod running with "
            f"different serviceaccount name."
        )
        raise bad_request(problem)
    return {**found, "kind": kind}


def _node_of(core: Core, bound: Obj | None) -> Obj | None:
    """The node of the pod a token is bound to, named in the token."""
    name = bound["spec"].get("nodeName") if bound is not None and bound["kind"] == "Pod" else None
    if not name:
        return None
    return core.reader.get(NODES, name) or {"metadata": {"name": name}}
