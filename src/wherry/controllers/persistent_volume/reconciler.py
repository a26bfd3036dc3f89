"""Walks claims and volumes through their phases. Keys with a namespace are claims, those without are volumes.

A claim: Pending -> Bound, or Lost when its volume vanishes; it stays as long as a pod uses it.
A volume: Available -> Bound -> Released -> gone (policy Delete) or kept (Retain).
"""

from __future__ import annotations

from wherry.api.errors import StatusError, is_already_exists, is_not_found
from wherry.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from wherry.api.types import GVR, Obj
from wherry.client.informer import Informer
from wherry.controllers.persistent_volume import claims as binding
from wherry.controllers.persistent_volume.directories import Directories
from wherry.reconcile import volume_matching as matching
from wherry.reconcile.controller import Controller
from wherry.reconcile.parts import Parts
from wherry.reconcile.pods import is_finished
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.reconcile.writes import change, delete_exactly, with_metadata, write_status, write_status_if_there

CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION = "kubernetes.io/pv-protection"
CLAIM_INDEX = "claims"
"""Pods by the claims they use, `namespace/name`."""


def build(parts: Parts, *, provisioner: str, directories: Directories, workers: int = 5) -> Controller:
    """The controller; `provisioner` is the name by which storage classes ask for `directories`."""
    queue: WorkQueue[Request] = WorkQueue("persistent-volume", parts.clock)
    claims, volumes = parts.factory.informer(PERSISTENT_VOLUME_CLAIMS), parts.factory.informer(PERSISTENT_VOLUMES)
    pods, classes = parts.factory.informer(PODS), parts.factory.informer(STORAGE_CLASSES)
    pods.add_index(CLAIM_INDEX, _claim_keys)
    reconciler = VolumeReconciler(parts, claims, volumes, pods, classes, provisioner, directories, queue)
    claims.add_handler(reconciler.on_claim)
    volumes.add_handler(reconciler.on_volume)
    pods.add_handler(reconciler.on_pod)
    classes.add_handler(reconciler.on_class)
    sources = (claims, volumes, pods, classes)
    return Controller("persistent-volume", reconciler, queue, workers=workers, sources=sources)


def _claim_keys(pod: Obj) -> list[str]:
    metadata = pod["metadata"]
    names: list[str] = []
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            names.append(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            names.append(f"{metadata['name']}-{volume['name']}")
    return [f"{metadata['namespace']}/{name}" for name in names]


class VolumeReconciler:
    def __init__(
        self,
        parts: Parts,
        claims: Informer,
        volumes: Informer,
        pods: Informer,
        classes: Informer,
        provisioner: str,
        directories: Directories,
        queue: WorkQueue[Request],
    ) -> None:
        self._client = parts.client
        self._claims = claims
        self._volumes = volumes
        self._pods = pods
        self._classes = classes
        self._recorder = parts.recorder
        self._provisioner = provisioner
        self._directories = directories
        self._queue = queue
        self._said: dict[str, tuple[str, str, str]] = {}

    # -- what happens

    def on_claim(self, type: str, claim: Obj, old: Obj | None) -> None:
        if type == "deleted":
            self._said.pop(claim["metadata"]["uid"], None)
        self._queue.add(Request.of(claim))
        name = claim["spec"].get("volumeName")
        if name:
            self._queue.add(Request("", name))
        elif type == "deleted":
            self._queue.add(Request("", binding.volume_name(claim)))

    def on_volume(self, type: str, volume: Obj, old: Obj | None) -> None:
        self._queue.add(Request("", volume["metadata"]["name"]))
        ref = volume["spec"].get("claimRef")
        if ref:
            self._queue.add(Request(ref["namespace"], ref["name"]))
        elif old is None or old["spec"] != volume["spec"]:
            self._all_pending()

    def on_pod(self, type: str, pod: Obj, old: Obj | None) -> None:
        if type != "modified" or is_finished(pod):
            for key in _claim_keys(pod):
                self._queue.add(Request(*key.split("/", 1)))

    def on_class(self, type: str, storage_class: Obj, old: Obj | None) -> None:
        if type == "added":
            self._all_pending()

    def _all_pending(self) -> None:
        for claim in self._claims.list():
            if not claim["spec"].get("volumeName"):
                self._queue.add(Request.of(claim))

    async def reconcile(self, request: Request) -> Result | None:
        if request.namespace:
            claim = self._claims.get(request.name, request.namespace)
            if claim is not None:
                await self._claim(claim)
        else:
            volume = self._volumes.get(request.name)
            if volume is not None:
                await self._volume(volume)
        return None

    # -- claims

    async def _claim(self, claim: Obj) -> None:
        if "deletionTimestamp" in claim["metadata"]:
            if not self._holders(claim):
                await self._drop_finalizer(PERSISTENT_VOLUME_CLAIMS, claim, CLAIM_PROTECTION)
            return
        name = claim["spec"].get("volumeName")
        if name:
            await self._bound_claim(claim, name)
            return
        step = binding.next_step(
            claim,
            self._volumes.list(),
            self._classes.get,
            self._provisioner,
            consumers=self._consumers(claim),
        )
        if step.volume is not None:
            await self._bind(claim, step.volume)
            return
        if step.storage_class is not None:
            wanted = binding.named_provisioner(claim, step.storage_class["provisioner"])
            if wanted is not claim:
                claim = await self._client.update(PERSISTENT_VOLUME_CLAIMS, wanted)
            if step.say is None:
                await self._provision(claim, step.storage_class)
        if step.say is not None:
            self._say(claim, step.say)
            await self._phase(PERSISTENT_VOLUME_CLAIMS, claim, "Pending")

    def _holders(self, claim: Obj) -> list[Obj]:
        """Pods that protect the claim. Who has no node yet does not, for no node would mount a claim that goes; who has
        ended does, as long as it is there."""
        pods = self._pods.by_index(CLAIM_INDEX, str(Request.of(claim)))
        return [pod for pod in pods if pod["spec"].get("nodeName")]

    def _consumers(self, claim: Obj) -> list[str]:
        """Names of the pods that use the claim and wait for a node."""
        pods = self._pods.by_index(CLAIM_INDEX, str(Request.of(claim)))
        return [pod["metadata"]["name"] for pod in pods if not pod["spec"].get("nodeName") and not is_finished(pod)]

    async def _bound_claim(self, claim: Obj, name: str) -> None:
        completed = binding.BIND_COMPLETED in (claim["metadata"].get("annotations") or {})
        volume = self._volumes.get(name)
        if volume is None:
            volume = await self._live_volume(name)
        if volume is None:
            if completed:
                text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
                await self._lost(claim, ("Warning", "ClaimLost", text))
            else:
                await self._phase(PERSISTENT_VOLUME_CLAIMS, claim, "Pending")
            return
        ref = volume["spec"].get("claimRef")
        if ref is not None and not matching.names(ref, claim):
            if completed:
                text = "Two claims are bound to the same volume, this one is bound incorrectly"
                await self._lost(claim, ("Warning", "ClaimMisbound", text))
            else:
                self._say(claim, ("Warning", "FailedBinding", f'volume "{name}" already bound to a different claim.'))
                await self._phase(PERSISTENT_VOLUME_CLAIMS, claim, "Pending")
            return
        await self._bind(claim, volume)

    async def _live_volume(self, name: str) -> Obj | None:
        """Before data is called lost, the API is asked; informers of two resources know no common order."""
        try:
            return await self._client.get(PERSISTENT_VOLUMES, name)
        except StatusError as error:
            if is_not_found(error):
                return None
            raise

    async def _lost(self, claim: Obj, say: tuple[str, str, str]) -> None:
        if claim.get("status", {}).get("phase") != "Lost":
            self._say(claim, say)
        await self._phase(PERSISTENT_VOLUME_CLAIMS, claim, "Lost")

    async def _bind(self, claim: Obj, volume: Obj) -> None:
        """Four writes, each skipped if done: the volume first, so that no two claims can take it."""
        wanted = matching.reserved(volume, claim)
        if wanted is not volume:
            volume = await self._client.update(PERSISTENT_VOLUMES, wanted)
        wanted = binding.bound_claim(claim, volume)
        if wanted["spec"] != claim["spec"] or wanted["metadata"] != claim["metadata"]:
            claim = await self._client.update(PERSISTENT_VOLUME_CLAIMS, wanted)
        volume = await self._expand(claim, volume)
        await write_status(self._client, PERSISTENT_VOLUME_CLAIMS, claim, binding.bound_status(claim, volume))
        await self._phase(PERSISTENT_VOLUMES, volume, "Bound")

    async def _expand(self, claim: Obj, volume: Obj) -> Obj:
        """A directory has no size of its own: a larger request is met by saying so."""
        ours = (volume["metadata"].get("annotations") or {}).get(binding.PROVISIONED_BY) == self._provisioner
        if not ours or matching.requested(claim) <= matching.capacity(volume):
            return volume
        spec = {**volume["spec"], "capacity": {"storage": str(matching.requested(claim))}}
        volume = await self._client.update(PERSISTENT_VOLUMES, {**volume, "spec": spec})
        self._recorder.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded")
        return volume

    async def _provision(self, claim: Obj, storage_class: Obj) -> None:
        name = binding.volume_name(claim)
        try:
            path = await self._directories.create(name)
            volume = binding.volume_for(claim, storage_class, path, self._provisioner)
            try:
                volume = await self._client.create(PERSISTENT_VOLUMES, volume)
            except StatusError as error:
                if not is_already_exists(error):
                    raise
                volume = await self._client.get(PERSISTENT_VOLUMES, name)
        except (OSError, StatusError) as error:
            self._recorder.event(claim, "Warning", "ProvisioningFailed", f"failed to provision volume: {error}")
            raise
        text = f"Successfully provisioned volume {name}"
        self._recorder.event(claim, "Normal", "ProvisioningSucceeded", text)
        await self._bind(claim, volume)

    def _say(self, claim: Obj, what: tuple[str, str, str]) -> None:
        """Once per reason: a claim is looked at often while it waits."""
        uid = claim["metadata"]["uid"]
        if self._said.get(uid) != what:
            self._said[uid] = what
            self._recorder.event(claim, "Warning" if what[0] == "Warning" else "Normal", what[1], what[2])

    # -- volumes

    async def _volume(self, volume: Obj) -> None:
        phase = volume.get("status", {}).get("phase")
        if "deletionTimestamp" in volume["metadata"] and phase != "Bound":
            await self._drop_finalizer(PERSISTENT_VOLUMES, volume, VOLUME_PROTECTION)
            return
        ref = volume["spec"].get("claimRef")
        if ref is None or not ref.get("uid"):
            await self._phase(PERSISTENT_VOLUMES, volume, "Available")
            return
        claim = self._claims.get(ref["name"], ref["namespace"])
        if claim is None or claim["metadata"]["uid"] != ref["uid"]:
            claim = await self._live_claim(ref)
        if claim is not None:
            if claim["spec"].get("volumeName") == volume["metadata"]["name"]:
                await self._phase(PERSISTENT_VOLUMES, volume, "Bound")
            return
        await self._release(volume)

    async def _live_claim(self, ref: Obj) -> Obj | None:
        try:
            claim = await self._client.get(PERSISTENT_VOLUME_CLAIMS, ref["name"], ref["namespace"])
        except StatusError as error:
            if is_not_found(error):
                return None
            raise
        return claim if claim["metadata"]["uid"] == ref["uid"] else None

    async def _release(self, volume: Obj) -> None:
        """The claim is gone: do as the reclaim policy says."""
        volume = await self._phase(PERSISTENT_VOLUMES, volume, "Released")
        policy = volume["spec"].get("persistentVolumeReclaimPolicy") or "Retain"
        if policy == "Retain" or "deletionTimestamp" in volume["metadata"]:
            return
        ours = (volume["metadata"].get("annotations") or {}).get(binding.PROVISIONED_BY) == self._provisioner
        if policy != "Delete" or not ours:
            text = f"no deleter found for this volume, reclaim policy {policy} is left to its provisioner"
            self._say(volume, ("Warning", "VolumeFailedDelete", text))
            return
        try:
            await self._directories.remove(volume["metadata"]["name"])
        except OSError as error:
            self._recorder.event(volume, "Warning", "VolumeFailedDelete", str(error))
            raise
        await delete_exactly(self._client, PERSISTENT_VOLUMES, volume)

    # -- both

    async def _phase(self, gvr: GVR, obj: Obj, phase: str) -> Obj:
        return await write_status_if_there(self._client, gvr, obj, {**obj.get("status", {}), "phase": phase})

    async def _drop_finalizer(self, gvr: GVR, obj: Obj, finalizer: str) -> None:
        def without(one: Obj) -> Obj | None:
            finalizers = one["metadata"].get("finalizers") or ()
            if finalizer not in finalizers or "deletionTimestamp" not in one["metadata"]:
                return None
            return with_metadata(one, finalizers=[other for other in finalizers if other != finalizer])

        await change(self._client, gvr, obj, without)
