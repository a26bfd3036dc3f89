"""Bring objects into the system the way `kubectl apply` does, sharing its last-applied annotation.

Objects go in the order that lets each find what it needs (Helm's install order). Nothing is deleted but a Job whose
pods would now be others: it is run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from wherry.api.errors import StatusError, is_not_found
from wherry.api.scheme import Resource, Scheme
from wherry.api.types import Obj
from wherry.cli import custom_kinds
from wherry.client.rest import Client
from wherry.client.three_way import last_applied, three_way, with_last_applied

ORDER = (
    *("Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget", "ServiceAccount", "Secret"),
    *("ConfigMap", "StorageClass", "PersistentVolume", "PersistentVolumeClaim", "CustomResourceDefinition"),
    *("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Service", "DaemonSet", "Pod", "ReplicaSet"),
    *("Deployment", "HorizontalPodAutoscaler", "StatefulSet", "Job", "CronJob", "IngressClass", "Ingress"),
)
ATTEMPTS = 5  # somebody else's write in between is merged with at the next attempt

MANAGER = "kubectl-client-side-apply"
"""The field manager of everybody who keeps the annotation: `kubectl apply --server-side` takes its fields over."""
STRICT = "Strict"  # as kubectl asks: a misspelt field is an error, not a surprise

IMMUTABLE = "field is immutable"

Outcome = Literal["created", "configured", "replaced", "unchanged"]


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one object; `obj` is as the API answered."""

    obj: Obj
    resource: Resource
    outcome: Outcome

    @property
    def title(self) -> str:
        return title(self.resource, self.obj)


def title(resource: Resource, obj: Obj) -> str:
    """`deployment.apps/cart`, as kubectl prints it."""
    group = f".{resource.group}" if resource.group else ""
    return f"{resource.singular}{group}/{obj['metadata']['name']}"


def in_order(objects: Sequence[Obj]) -> list[Obj]:
    """Stable: objects of one kind keep the order of their files."""
    rank = {kind: place for place, kind in enumerate(ORDER)}
    return sorted(objects, key=lambda obj: rank.get(obj.get("kind", ""), len(ORDER)))


async def apply(client: Client, scheme: Scheme, obj: Obj, default_namespace: str) -> Applied:
    """Create `obj` or patch what is there. Raises StatusError, naming an unknown kind as kubectl does."""
    said = (obj.get("apiVersion", ""), obj.get("kind", ""))
    resource = scheme.by_kind(*said) or await custom_kinds.find(client, *said)
    if resource is None:
        raise StatusError(
            404,
            "NotFound",
            f'no matches for kind "{obj.get("kind")}" in version "{obj.get("apiVersion")}": '
            f"neither Kubernetes {scheme.version} nor a CustomResourceDefinition serves it; `kubectl api-resources` lists "
            "what is served",
        )
    metadata = dict(obj.get("metadata") or {})
    namespace: str | None = None
    if resource.namespaced:
        namespace = metadata.setdefault("namespace", default_namespace)
    wanted = with_last_applied({**obj, "metadata": metadata})
    for attempt in range(ATTEMPTS):
        try:
            applied = await _once(client, scheme, resource, wanted, namespace)
        except StatusError as error:
            if error.code != 409 or attempt == ATTEMPTS - 1:
                raise
        else:
            if resource.gvr == custom_kinds.DEFINITIONS:
                await custom_kinds.established(client, applied.obj)
            return applied
    raise AssertionError("the last attempt returns or raises")


async def _once(client: Client, scheme: Scheme, resource: Resource, wanted: Obj, namespace: str | None) -> Applied:
    name = wanted["metadata"].get("name", "")
    if not name:  # generateName: every apply makes another one, and kubectl refuses it
        raise StatusError(400, "BadRequest", f"{resource.kind}: metadata.name: Required value: apply needs a name")
    try:
        live = await client.get(resource.gvr, name, namespace)
    except StatusError as error:
        if not is_not_found(error):
            raise
        return Applied(
            await client.create(resource.gvr, wanted, namespace, field_validation=STRICT, field_manager=MANAGER),
            resource,
            "created",
        )
    built_in = resource.gvr in scheme.resources
    patch = three_way(last_applied(live), wanted, live, scheme.schema(resource) if built_in else None)
    if not patch:
        return Applied(live, resource, "unchanged")
    try:
        merged = await client.patch(
            resource.gvr,
            name,
            patch,
            namespace,
            type="strategic" if built_in else "merge",
            field_validation=STRICT,
            field_manager=MANAGER,
        )
    except StatusError as error:
        if resource.kind != "Job" or IMMUTABLE not in error.message:
            raise
        # What a Job runs cannot be changed, and a rebuilt image is a change: the new version is another run.
        await client.delete(resource.gvr, name, namespace, uid=live["metadata"]["uid"], propagation="Background")
        again = await client.create(resource.gvr, wanted, namespace, field_validation=STRICT, field_manager=MANAGER)
        return Applied(again, resource, "replaced")
    same = merged["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]
    return Applied(merged, resource, "unchanged" if same else "configured")
