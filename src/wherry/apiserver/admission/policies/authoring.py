"""Who writes a policy must be allowed to read the params it uses, or a policy's messages would show them to anybody.

The check is Kubernetes'; for a binding it is about the very objects it refers to. `system:masters` may everything.
"""

from __future__ import annotations

from wherry.api.errors import StatusError, invalid
from wherry.api.types import GVR, Obj
from wherry.apiserver.admission.matching import GROUP
from wherry.apiserver.admission.request import AdmissionRequest, World
from wherry.apiserver.auth.attributes import Attributes
from wherry.apiserver.registry.validation import field

_POLICIES = {
    "validatingadmissionpolicybindings": "validatingadmissionpolicies",
    "mutatingadmissionpolicybindings": "mutatingadmissionpolicies",
}


class PolicyAuthoring:
    concerns = frozenset((GROUP, plural) for pair in _POLICIES.items() for plural in pair)

    async def validate(self, request: AdmissionRequest) -> None:
        obj, world = request.object, request.world
        if obj is None or world is None or request.subresource or request.operation not in ("CREATE", "UPDATE"):
            return
        key = "paramRef" if request.resource.resource in _POLICIES else "paramKind"
        wanted, before = obj["spec"].get(key), ((request.old_object or {}).get("spec") or {}).get(key)
        if wanted is None or wanted == before:
            return
        if key == "paramKind":
            _may_read(request, world, wanted, "*", "")
        else:
            _binding(request, world, obj["spec"], wanted)


def _binding(request: AdmissionRequest, world: World, spec: Obj, ref: Obj) -> None:
    gvr = GVR(GROUP, request.resource.version, _POLICIES[request.resource.resource])
    policy = request.context.read.get(gvr, spec.get("policyName") or "")
    kind = policy["spec"].get("paramKind") if policy is not None else {"apiVersion": "*", "kind": "*"}
    if kind is not None:
        _may_read(request, world, kind, ref.get("name") or "*", ref.get("namespace") or "")


def _may_read(request: AdmissionRequest, world: World, kind: Obj, name: str, namespace: str) -> None:
    """Raises StatusError (422)."""
    api_version, named = kind.get("apiVersion") or "", kind.get("kind") or ""
    group = api_version.rpartition("/")[0]
    known = (each.resource for each in world.served.values() if each.resource.api_version == api_version)
    plural = next((each.resource for each in known if each.kind == named), "*")
    asked = Attributes("get", "*" if api_version == "*" else group, plural, "", namespace, name)
    if world.authorizer.decide(request.user, asked).allowed:
        return
    raise _forbidden(request, named, api_version)


def _forbidden(request: AdmissionRequest, kind: str, api_version: str) -> StatusError:
    resource, metadata = request.resource, (request.object or {}).get("metadata") or {}
    user = request.user.name
    if resource.resource in _POLICIES:
        path, what = "spec.paramRef", "the referenced params"
    else:
        path, what = (
            "spec.paramKind",
            f"all objects of the referenced paramKind (kind={kind}, apiVersion={api_version})",
        )
    cause = field.forbidden(path, f'user {user} must have "get" permission on {what}')
    return invalid(resource.kind, resource.group, metadata.get("name", ""), [cause])
