"""Sets up the volumes of a pod, refreshes the living ones when what they show changes, and tears all of them down.

`set_up` may be called again and changes nothing that is already right, so a restarted kubelet uses it to pick up its pods.
Refreshing is driven by informers and by the age of tokens; nothing polls.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from wherry.aio.clock import Clock
from wherry.api.errors import StatusError
from wherry.api.types import GVR, Obj
from wherry.cri.interface import Mount
from wherry.kubelet import pod_spec
from wherry.kubelet.config import NodeConfig
from wherry.kubelet.downward import NodeFacts
from wherry.kubelet.failures import MissingObject, VolumeFailure
from wherry.kubelet.objects import Objects
from wherry.kubelet.quality import size_bytes
from wherry.kubelet.remove import TreeRemover
from wherry.kubelet.volumes import atomic_writer, claims, host_path, ownership, payload
from wherry.kubelet.volumes.mounts import Mountable, container_mounts
from wherry.kubelet.volumes.tokens import Tokens

log = logging.getLogger(__name__)

EMPTY_DIR = "kubernetes.io~empty-dir"
RETRY_SECONDS = 5.0  # a refresh that failed (the API server is away); the old content stays meanwhile


class _Pod(Struct):
    """A pod whose volumes are set up."""

    pod: Obj
    mountables: dict[str, Mountable] = field(default_factory=dict)
    live: dict[str, tuple[Obj, Path]] = field(default_factory=dict)
    needs: set[payload.Source] = field(default_factory=set)


class VolumeManager:
    def __init__(
        self,
        config: NodeConfig,
        node: NodeFacts,
        objects: Objects,
        tokens: Tokens,
        trees: TreeRemover,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._config = config
        self._node = node
        self._objects = objects
        self._tokens = tokens
        self._trees = trees
        self._clock = clock
        self._rng = rng
        self._pods: dict[str, _Pod] = {}
        self._stale: dict[str, None] = {}
        self._woken = asyncio.Event()
        objects.listen(self._object_changed)

    async def run(self) -> None:
        """Refresh what is stale and fetch tokens before they expire, until cancelled."""
        while True:
            due = self._next_token()
            try:
                async with asyncio.timeout(None if due is None else max(due - self._clock.time(), 0.001)):
                    await self._woken.wait()
            except TimeoutError:
                now = self._clock.time()
                self._stale.update(dict.fromkeys(uid for uid in self._pods if (self._token_due(uid) or now + 1) <= now))
            self._woken.clear()
            stale, self._stale = list(self._stale), {}
            for uid in stale:
                await self._refresh(uid)

    async def set_up(self, pod: Obj) -> None:
        """Make every volume that a container mounts. Raises VolumeFailure of the first that cannot be."""
        uid = pod_spec.uid_of(pod)
        entry = _Pod(pod)
        wanted = _mounted(pod)
        volumes = [each for each in pod["spec"].get("volumes") or () if each["name"] in wanted]
        outcomes = await asyncio.gather(
            *(self._set_up_one(pod, each, entry) for each in volumes), return_exceptions=True
        )
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failures:
            raise failures[0]
        self._pods[uid] = entry
        self._woken.set()

    def mounts(self, pod: Obj, container: Obj, env: Mapping[str, str]) -> list[Mount]:
        """Raises StartFailure."""
        entry = self._pods.get(pod_spec.uid_of(pod))
        return container_mounts(container, entry.mountables if entry is not None else {}, env)

    def memory_volumes(self, pod: Obj) -> dict[Path, int | None]:
        """Directories that the sandbox covers with a tmpfs (emptyDir of medium Memory), and their limits in bytes."""
        found: dict[Path, int | None] = {}
        for volume in pod["spec"].get("volumes") or ():
            source = volume.get("emptyDir") or {}
            if source.get("medium") == "Memory":
                limit = source.get("sizeLimit")
                directory = self._directory(pod, EMPTY_DIR, volume["name"])
                found[directory] = size_bytes(limit) if limit is not None else None
        return found

    def update(self, pod: Obj) -> None:
        """The pod has changed: its labels and annotations may show in a downward API volume."""
        entry = self._pods.get(pod_spec.uid_of(pod))
        if entry is None:
            return
        before, entry.pod = entry.pod["metadata"], pod
        metadata = pod["metadata"]
        if any(before.get(key) != metadata.get(key) for key in ("labels", "annotations")):
            self._mark(pod_spec.uid_of(pod))

    def waits_for(self, pod: Obj, gvr: GVR, name: str) -> bool:
        """Whether a volume of the pod, set up or not, refers to that object."""
        return any((gvr, name) in payload.references(each) for each in pod["spec"].get("volumes") or ())

    async def tear_down(self, uid: str) -> None:
        """The pod is over: what its volumes held is gone. Claims and host paths are not ours to touch."""
        self._pods.pop(uid, None)
        self._tokens.forget(uid)
        await self._trees.remove([self._config.pod_directory(uid) / "volumes"])

    def statistics(self) -> dict[str, int]:
        return {"pods": len(self._pods), "live": sum(len(each.live) for each in self._pods.values())}

    # --- one volume ----------------------------------------------------------------------------------------------

    async def _set_up_one(self, pod: Obj, volume: Obj, entry: _Pod) -> None:
        name = volume["name"]
        try:
            entry.mountables[name] = await self._make(pod, volume, entry)
        except (ValueError, MissingObject, atomic_writer.BadPath, OSError) as error:
            raise VolumeFailure(name, str(error)) from error
        except StatusError as error:
            raise VolumeFailure(name, f"failed to fetch token or object: {error}") from error

    async def _make(self, pod: Obj, volume: Obj, entry: _Pod) -> Mountable:
        name = volume["name"]
        if name in _devices(pod):
            raise ValueError("block devices are not supported on this node")
        if payload.is_live(volume):
            kind = next(key for key in _PLUGINS if key in volume)
            directory = self._directory(pod, _PLUGINS[kind], name)
            entry.live[name] = (volume, directory)
            entry.needs |= payload.references(volume)
            await self._write(pod, volume, directory)
            return Mountable(directory, readonly=True)
        if "emptyDir" in volume:
            return Mountable(self._empty_dir(pod, name, volume["emptyDir"] or {}))
        if "hostPath" in volume:
            source = volume["hostPath"]
            return Mountable(host_path.prepare(source["path"], source.get("type") or ""))
        claim = _claim_name(pod, volume)
        if claim:
            path = await claims.directory_of(self._objects, pod_spec.namespace_of(pod), claim)
            self._own(pod, path, claim=True)
            return Mountable(path, readonly=bool((volume.get("persistentVolumeClaim") or {}).get("readOnly")))
        kind = next((key for key in volume if key != "name"), "none")
        raise ValueError(f'volume type "{kind}" is not supported on this node')

    def _empty_dir(self, pod: Obj, name: str, source: Obj) -> Path:
        if source.get("medium") not in (None, "", "Memory"):
            raise ValueError(f'emptyDir medium "{source["medium"]}" is not supported on this node')
        directory = self._directory(pod, EMPTY_DIR, name)
        if directory.stat().st_mode & 0o7777 not in (0o777, 0o2777):
            directory.chmod(0o777)
            self._own(pod, directory)
        return directory

    def _directory(self, pod: Obj, plugin: str, name: str) -> Path:
        directory = self._config.pod_directory(pod_spec.uid_of(pod)) / "volumes" / plugin / name
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    async def _write(self, pod: Obj, volume: Obj, directory: Path) -> bool:
        missing = payload.unsupported(volume)
        if missing:
            raise ValueError(f"projected volume source {', '.join(missing)} is not supported on this node")
        namespace = pod_spec.namespace_of(pod)
        wanted, tokens = sorted(payload.references(volume)), list(payload.tokens(volume))
        found = await asyncio.gather(
            asyncio.gather(*(self._find(gvr, namespace, name) for gvr, name in wanted)),
            asyncio.gather(*(self._tokens.get(pod, token) for token in tokens)),
        )
        given = payload.Ingredients(
            pod,
            self._node,
            (pod.get("status") or {}).get("podIP", ""),
            dict(zip(wanted, found[0], strict=True)),
            dict(zip(tokens, found[1], strict=True)),
        )
        changed = atomic_writer.write(directory, payload.build(volume, given), self._clock.time(), self._rng)
        if changed:
            self._own(pod, directory)
        return changed

    async def _find(self, gvr: GVR, namespace: str, name: str) -> Obj | None:
        try:
            return await self._objects.get(gvr, namespace, name)
        except MissingObject:
            return None

    def _own(self, pod: Obj, directory: Path, *, claim: bool = False) -> None:
        context = pod["spec"].get("securityContext") or {}
        group, user = context.get("fsGroup"), None if claim else payload.common_user(pod)
        if group is None and user is None:
            return
        lazy = claim and context.get("fsGroupChangePolicy") == "OnRootMismatch"
        if not ownership.give(directory, group, user, only_root_mismatch=lazy):
            log.info("volume %s keeps its owner: this user may not give files away", directory.name)

    # --- freshness -----------------------------------------------------------------------------------------------

    def _object_changed(self, gvr: GVR, namespace: str, name: str) -> None:
        for uid, entry in self._pods.items():
            if pod_spec.namespace_of(entry.pod) == namespace and (gvr, name) in entry.needs:
                self._mark(uid)

    def _mark(self, uid: str) -> None:
        self._stale[uid] = None
        self._woken.set()

    async def _refresh(self, uid: str) -> None:
        entry = self._pods.get(uid)
        if entry is None:
            return
        for volume, directory in list(entry.live.values()):
            try:
                await self._write(entry.pod, volume, directory)
            except ValueError as error:
                # The object is gone or lost a key: containers keep what they have, as in Kubernetes.
                log.info("volume %s of pod %s keeps its content: %s", volume["name"], uid, error)
            except (StatusError, OSError) as error:
                log.warning("volume %s of pod %s not refreshed: %s", volume["name"], uid, error)
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._mark, uid)

    def _token_due(self, uid: str) -> float | None:
        return self._tokens.refresh_at(uid)

    def _next_token(self) -> float | None:
        due = [at for uid in self._pods if (at := self._token_due(uid)) is not None]
        return min(due, default=None)


_PLUGINS = {
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "downwardAPI": "kubernetes.io~downward-api",
    "projected": "kubernetes.io~projected",
}


def _mounted(pod: Obj) -> set[str]:
    return {
        mount["name"] for each in pod_spec.all_containers(pod) for mount in each.get("volumeMounts") or ()
    } | _devices(pod)


def _devices(pod: Obj) -> set[str]:
    """Volumes that a container wants as block devices."""
    return {device["name"] for each in pod_spec.all_containers(pod) for device in each.get("volumeDevices") or ()}


def _claim_name(pod: Obj, volume: Obj) -> str:
    if "persistentVolumeClaim" in volume:
        return str(volume["persistentVolumeClaim"]["claimName"])
    return f"{pod_spec.name_of(pod)}-{volume['name']}" if "ephemeral" in volume else ""
