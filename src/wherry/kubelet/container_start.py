"""From a container of a pod spec to a running one: environment, mounts, identity, command, then create and start.

Raises `StartFailure` with the waiting reason Kubernetes shows; says Created and Started by events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from wherry.api.types import Obj
from wherry.cri.interface import (
    ContainerConfig,
    ContainerState,
    Mount,
    RuntimeFailure,
    RuntimeService,
    SandboxStatus,
)
from wherry.images.rootfs import Image
from wherry.kubelet import etc_files, pod_spec
from wherry.kubelet.config import NodeConfig
from wherry.kubelet.downward import NodeFacts
from wherry.kubelet.env import Environment
from wherry.kubelet.events import PodEvents
from wherry.kubelet.expansion import expand
from wherry.kubelet.failures import StartFailure
from wherry.kubelet.garbage import Garbage
from wherry.kubelet.observation import PodSeen
from wherry.kubelet.pleg import Pleg
from wherry.kubelet.quality import container_resources, oom_score_adjustment
from wherry.kubelet.security import Identity, identity
from wherry.kubelet.termination_message import make_message_file
from wherry.kubelet.volumes.manager import VolumeManager
from wherry.launcher.specs import STOP_SIGNAL_LABEL

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_MESSAGE_PATH = "/dev/termination-log"


class ContainerStarter:
    def __init__(
        self,
        config: NodeConfig,
        node: NodeFacts,
        runtime: RuntimeService,
        pleg: Pleg,
        environment: Environment,
        volumes: VolumeManager,
        garbage: Garbage,
        events: PodEvents,
    ) -> None:
        self._config = config
        self._node = node
        self._runtime = runtime
        self._pleg = pleg
        self._environment = environment
        self._volumes = volumes
        self._garbage = garbage
        self._events = events

    async def start(self, pod: Obj, container: Obj, image: Image, seen: PodSeen, in_hook: set[str]) -> str:
        """The id of the started container; it is added to `in_hook` before it starts if it has a postStart hook."""
        sandbox = seen.ready_sandbox
        assert sandbox is not None, "containers are started in a ready sandbox"
        name = container["name"]
        await self._discard_unstarted(seen, name)
        config = await self._config_of(pod, container, image, sandbox, restart_count(pod, container, seen))
        try:
            container_id = await self._runtime.create_container(sandbox.id, config)
        except RuntimeFailure as failure:
            raise StartFailure(failure.reason or "CreateContainerError", str(failure)) from failure
        self._events.normal(pod, "Created", "Container created", name)
        if (container.get("lifecycle") or {}).get("postStart"):
            in_hook.add(container_id)
        try:
            await self._runtime.start_container(container_id)
        except asyncio.CancelledError:
            self._pleg.look_again(container_id)  # created, perhaps started: the next plan must know
            raise
        except RuntimeFailure as failure:
            in_hook.discard(container_id)
            await self._pleg.refresh_container(container_id)
            raise StartFailure(failure.reason or "RunContainerError", str(failure)) from failure
        self._events.normal(pod, "Started", "Container started", name)
        await self._pleg.refresh_container(container_id)
        await self._garbage.remove_old_containers(pod, self._pleg.pod(pod_spec.uid_of(pod)), name)
        return container_id

    async def _discard_unstarted(self, seen: PodSeen, name: str) -> None:
        """Created, but the start was interrupted: begin again with the same attempt number."""
        latest = seen.latest(name)
        if latest is not None and latest.state is ContainerState.CREATED:
            await self._runtime.remove_container(latest.id)
            await self._pleg.refresh_container(latest.id)

    async def _config_of(
        self, pod: Obj, container: Obj, image: Image, sandbox: SandboxStatus, attempt: int
    ) -> ContainerConfig:
        name, uid = container["name"], pod_spec.uid_of(pod)
        address = self._config.address if pod_spec.host_network(pod) else sandbox.config.ip
        declared = await self._environment.of(pod, container, address)
        who = identity(pod, container, image)
        env = {**base_env(image, who, sandbox.config.hostname), **declared}
        mounts = self._volumes.mounts(pod, container, declared)
        mounts = self._with_files(pod, container, mounts, address, attempt)
        capacity = self._node.memory_bytes
        return ContainerConfig(
            name=name,
            argv=command_of(container, image, declared),
            rootfs=image.rootfs,
            image=container["image"],
            image_id=image_reference(image),
            env=env,
            cwd=container.get("workingDir") or str(image.config.get("WorkingDir") or "") or "/",
            mounts=mounts,
            uid=who.uid,
            gid=who.gid,
            groups=who.groups,
            readonly_rootfs=who.readonly_rootfs,
            no_new_privileges=who.no_new_privileges,
            privileged=who.privileged,
            drop_capabilities=who.drop_capabilities,
            add_capabilities=who.add_capabilities,
            tty=bool(container.get("tty")),
            stdin=bool(container.get("stdin")),
            stdin_once=bool(container.get("stdinOnce")),
            resources=container_resources(container),
            attempt=attempt,
            log_path=f"{name}/{attempt}.log",
            oom_score_adj=oom_score_adjustment(pod, container, capacity),
            labels={
                "io.kubernetes.container.name": name,
                "io.kubernetes.pod.name": pod_spec.name_of(pod),
                "io.kubernetes.pod.namespace": pod_spec.namespace_of(pod),
                "io.kubernetes.pod.uid": uid,
                STOP_SIGNAL_LABEL: stop_signal(container, image),
            },
        )

    def _with_files(self, pod: Obj, container: Obj, mounts: list[Mount], address: str, attempt: int) -> list[Mount]:
        """/etc/hosts and its kin, unless the container mounts its own there, and the termination message."""
        files = etc_files.write(pod, address, self._config)
        targets = {mount.target for mount in mounts}
        extra = [
            Mount(files.hosts, "/etc/hosts"),
            Mount(files.resolv_conf, "/etc/resolv.conf"),
            Mount(files.hostname, "/etc/hostname"),
        ]
        message_path = container.get("terminationMessagePath") or DEFAULT_MESSAGE_PATH
        uid = pod_spec.uid_of(pod)
        message: Path = make_message_file(self._config, uid, container["name"], attempt)
        extra.append(Mount(message, message_path))
        return [*mounts, *(mount for mount in extra if mount.target not in targets)]


def restart_count(pod: Obj, container: Obj, seen: PodSeen) -> int:
    """The attempt number of the next start: one more than the last the runtime or, if it has forgotten, the API knows."""
    latest = seen.latest(container["name"])
    recorded = pod_spec.container_status(pod, container["name"]) or {}
    known = recorded.get("restartCount", 0) + 1 if recorded.get("containerID") else 0
    if latest is None:
        return int(known)
    if latest.state is ContainerState.CREATED:
        return latest.config.attempt
    return max(latest.config.attempt + 1, int(recorded.get("restartCount", 0)))


def command_of(container: Obj, image: Image, env: Mapping[str, str]) -> list[str]:
    """`command` replaces the image's entrypoint and its arguments; `args` replaces its arguments only."""
    entrypoint, cmd = _strings(image.config.get("Entrypoint")), _strings(image.config.get("Cmd"))
    command = [expand(str(word), env) for word in container.get("command") or ()]
    args = [expand(str(word), env) for word in container.get("args") or ()]
    argv = [*command, *args] if command else [*entrypoint, *(args or cmd)]
    if not argv:
        raise StartFailure("CreateContainerError", "no command specified")
    return argv


def base_env(image: Image, who: Identity, hostname: str) -> dict[str, str]:
    """What a container has before the pod says anything: PATH, HOSTNAME, HOME and the image's own variables."""
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname, "HOME": who.home}
    for entry in _strings(image.config.get("Env")):
        name, _, value = entry.partition("=")
        env[name] = value
    return env


def image_reference(image: Image) -> str:
    """`repository@sha256:…` when the image came with a digest, else its id: what imageID shows."""
    if image.digest and image.names:
        name = image.names[0].partition("@")[0]
        repository, colon, tag = name.rpartition(":")
        return f"{repository if colon and '/' not in tag else name}@{image.digest}"
    return image.id


def stop_signal(container: Obj, image: Image) -> str:
    own = (container.get("lifecycle") or {}).get("stopSignal")
    return str(own or image.config.get("StopSignal") or "SIGTERM")


def _strings(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list | tuple) else []
