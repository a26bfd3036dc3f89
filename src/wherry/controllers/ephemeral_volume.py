"""Makes the claims of pods' generic ephemeral volumes: each lives and dies with its pod, which owns it."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.api.errors import StatusError, is_already_exists, namespace_is_ending
from wherry.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from wherry.api.types import Obj
from wherry.client.informer import Informer
from wherry.reconcile.controller import Controller
from wherry.reconcile.ownership import controller_ref, controller_uid
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import is_terminating
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue


def build(parts: Parts, *, workers: int = 5) -> Controller:
    """The controller, wired to the informers of pods and claims."""
    queue: WorkQueue[Request] = WorkQueue("ephemeral-volume", parts.clock)
    pods, claims = parts.factory.informer(PODS), parts.factory.informer(PERSISTENT_VOLUME_CLAIMS)

    def on_pod(type: str, pod: Obj, old: Obj | None) -> None:
        if type == "added" and any(True for _ in ephemeral(pod)):
            queue.add(Request.of(pod))

    def on_claim(type: str, claim: Obj, old: Obj | None) -> None:
        # One that is gone is made again, or a stranger's name is free now.
        for ref in claim["metadata"].get("ownerReferences") or () if type == "deleted" else ():
            if ref["kind"] == "Pod":
                queue.add(Request(claim["metadata"]["namespace"], ref["name"]))

    pods.add_handler(on_pod)
    claims.add_handler(on_claim)
    reconciler = EphemeralVolumes(parts, pods, claims)
    return Controller("ephemeral-volume", reconciler, queue, workers=workers, sources=(pods, claims))


def ephemeral(pod: Obj) -> Iterator[Obj]:
    """The pod's generic ephemeral volumes."""
    return (volume for volume in pod["spec"].get("volumes") or () if "ephemeral" in volume)


def claim_for(pod: Obj, volume: Obj) -> Obj:
    """The claim of one such volume."""
    template = volume["ephemeral"].get("volumeClaimTemplate") or {}
    own = template.get("metadata") or {}
    metadata: Obj = {
        "name": f"{pod['metadata']['name']}-{volume['name']}",
        "namespace": pod["metadata"]["namespace"],
        "ownerReferences": [controller_ref(pod)],
    }
    metadata |= {key: own[key] for key in ("labels", "annotations") if own.get(key)}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]}


class EphemeralVolumes:
    def __init__(self, parts: Parts, pods: Informer, claims: Informer) -> None:
        self._client = parts.client
        self._pods = pods
        self._claims = claims
        self._recorder = parts.recorder

    async def reconcile(self, request: Request) -> Result | None:
        pod = self._pods.get(request.name, request.namespace)
        if pod is None or is_terminating(pod):
            return None
        done = [await self._claim(pod, volume) for volume in ephemeral(pod)]
        return None if all(done) else Result(retry=True)

    async def _claim(self, pod: Obj, volume: Obj) -> bool:
        """False if a claim of that name belongs to somebody else. The pod is told what goes wrong."""
        wanted = claim_for(pod, volume)
        name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
        found = self._claims.get(name, namespace)
        try:
            if found is None:
                try:
                    found = await self._client.create(PERSISTENT_VOLUME_CLAIMS, wanted)
                except StatusError as error:
                    if not is_already_exists(error):
                        raise
                    found = await self._client.get(PERSISTENT_VOLUME_CLAIMS, name, namespace)
        except StatusError as error:
            if not namespace_is_ending(error):
                text = f"ephemeral volume {volume['name']}: create PVC {name}: {error}"
                self._recorder.event(pod, "Warning", "FailedBinding", text)
            raise
        if controller_uid(found) == pod["metadata"]["uid"]:
            return True
        text = (
            f"PVC {namespace}/{name} was not created for pod {namespace}/{pod['metadata']['name']} (pod is not owner)"
        )
        self._recorder.event(pod, "Warning", "FailedBinding", f"ephemeral volume {volume['name']}: {text}")
        return False
