"""How many pods the owners of some pods want in all: through the scale of whatever controls them.

What is asked of the API is each owner once; the built-in kinds are read from informers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wherry.api.errors import StatusError, is_not_found
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.client.rest import Client
from wherry.reconcile.kinds import Kinds
from wherry.reconcile.ownership import controller_of


class Unknown(Exception):
    """Nobody says how many pods there should be; the text is Kubernetes'."""


class Owners:
    """`informers` by kind: those whose objects have spec.replicas."""

    def __init__(self, client: Client, kinds: Kinds, informers: Mapping[str, Informer]) -> None:
        self._client = client
        self._kinds = kinds
        self._informers = informers

    async def wanted(self, pods: Iterable[Obj]) -> tuple[int, list[str]]:
        """(pods wanted by all owners together, names of pods that have none). Raises Unknown."""
        scales: dict[str, int] = {}
        unmanaged: list[str] = []
        for pod in pods:
            ref = controller_of(pod)
            if ref is None:
                unmanaged.append(pod["metadata"]["name"])
                continue
            uid, size = await self._scale(pod["metadata"]["namespace"], ref, scales)
            if size is None:
                raise Unknown(f'found no controllers for pod "{pod["metadata"]["name"]}"')
            scales[uid] = size
        return sum(scales.values()), unmanaged

    async def _scale(self, namespace: str, ref: Obj, known: Mapping[str, int]) -> tuple[str, int | None]:
        """(uid, size) of whoever decides the size: a ReplicaSet's Deployment, not the ReplicaSet."""
        if ref["uid"] in known:
            return ref["uid"], known[ref["uid"]]
        informer = self._informers.get(ref["kind"])
        if informer is None:
            return ref["uid"], await self._subresource(namespace, ref)
        owner = informer.get(ref["name"], namespace)
        if owner is None or owner["metadata"]["uid"] != ref["uid"]:
            return ref["uid"], None
        above = controller_of(owner)
        if ref["kind"] == "ReplicaSet" and above is not None:
            return await self._scale(namespace, above, known)
        replicas = owner["spec"].get("replicas")
        return ref["uid"], 1 if replicas is None else int(replicas)

    async def _subresource(self, namespace: str, ref: Obj) -> int | None:
        resource = self._kinds.by_kind(ref["apiVersion"], ref["kind"])
        if resource is None:
            group = ref["apiVersion"].rpartition("/")[0]
            raise Unknown(f'no matches for kind "{ref["kind"]}" in group "{group}"')
        name = f"{resource.resource}.{resource.group}" if resource.group else resource.resource
        try:
            scale = await self._client.get(resource.gvr, ref["name"], namespace, "scale")
        except StatusError as error:
            if not is_not_found(error):
                raise
            if (error.details or {}).get("name") != ref["name"]:
                # The path is unknown, not the object.
                raise Unknown(f"{name} does not implement the scale subresource") from error
            return None
        return int(scale.get("spec", {}).get("replicas", 0)) if scale["metadata"]["uid"] == ref["uid"] else None
