"""Performs plans: sandbox, volumes, images, containers, hooks. What to do is `pod_lifecycle`'s, when is the worker's.

Every step may be interrupted and repeated. What cannot be done is said by an event and remembered as a hold, so that the
next plan leaves it alone for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wherry.api.types import Obj
from wherry.cri.interface import OWNER_LABEL, RuntimeFailure, SandboxConfig, SandboxState, SandboxStatus
from wherry.kubelet import pod_spec
from wherry.kubelet.backoff import Backoff
from wherry.kubelet.etc_files import sandbox_hostname
from wherry.kubelet.failures import HookFailure, StartFailure, VolumeFailure
from wherry.kubelet.observation import Hold, PodSeen
from wherry.kubelet.parts import Parts
from wherry.kubelet.pod_lifecycle import Kill, Plan, was_begun
from wherry.kubelet.pod_stop import stop_containers
from wherry.kubelet.quality import pod_resources

RETRY_SECONDS = 10.0  # kubelet's own pause after a pod sync that failed
VOLUME_RETRY_SECONDS_FIRST, VOLUME_RETRY_SECONDS_MAX = 0.5, 122.0  # kubelet's volume operations: 500 ms to 2 min 2 s
SANDBOX_RETRY_SECONDS_FIRST, SANDBOX_RETRY_SECONDS_MAX = 1.0, 60.0


class PodActions:
    """Of one pod. `look` gives what the runtime holds of it, `report` is called when there is news."""

    def __init__(self, uid: str, parts: Parts, look: Callable[[], PodSeen], report: Callable[[], None]) -> None:
        self._uid = uid
        self._parts = parts
        self._look = look
        self._report = report
        self.holds: dict[str, Hold] = {}
        """Containers that could not be started, by name."""
        self.in_hook: set[str] = set()
        """Containers whose postStart hook still runs, by id."""
        self.volumes_ready = False
        self.wait_until: float | None = None
        """Neither sandbox nor containers are tried before this moment (Unix seconds)."""
        self._retries = Backoff(VOLUME_RETRY_SECONDS_FIRST, VOLUME_RETRY_SECONDS_MAX)
        self._sandbox_retries = Backoff(SANDBOX_RETRY_SECONDS_FIRST, SANDBOX_RETRY_SECONDS_MAX)

    def retry_now(self) -> bool:
        """Forget why things could not be done, but for pulls, which keep their own pace; False when nothing waits."""
        if not self.holds and self.wait_until is None:
            return False
        self.holds = {name: hold for name, hold in self.holds.items() if "Image" in hold.reason}
        self.wait_until = None
        return True

    async def perform(self, decided: Plan, pod: Obj, seen: PodSeen) -> None:
        """All of a plan, in order. Raises ConnectionError when the runtime goes away."""
        if decided.kills:
            await self.kill(pod, decided.kills)
        for sandbox_id in decided.stale_sandboxes:
            await self._parts.runtime.stop_pod_sandbox(sandbox_id)
        if decided.stale_sandboxes:
            await self._parts.pleg.refresh_sandboxes()
        if decided.new_sandbox is not None:
            await self._new_sandbox(pod, seen, decided)
            return
        if decided.starts:
            await self.set_up_volumes(pod)
            if self.volumes_ready:
                self._prefetch(pod, decided.starts)
                for name in decided.starts:
                    await self._start(pod, name)

    async def kill(self, pod: Obj, kills: tuple[Kill, ...]) -> None:
        """End single containers; the next plan decides what becomes of them."""
        for kill in kills:
            self._parts.events.normal(pod, "Killing", kill.message, kill.name)
            self._parts.prober.drop(kill.container_id)
        reasons = {kill.container_id: kill.reason for kill in kills}
        await stop_containers(self._parts, pod, self._look(), only=reasons)

    async def _new_sandbox(self, pod: Obj, seen: PodSeen, decided: Plan) -> None:
        """Sandbox, volumes and images are independent of one another, so they are made side by side."""
        assert decided.new_sandbox is not None
        if seen.sandboxes or was_begun(pod):
            self._parts.events.normal(pod, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        self._prefetch(pod, decided.soon)
        outcomes = await asyncio.gather(
            self.set_up_volumes(pod), self._run_sandbox(pod, decided.new_sandbox), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, RuntimeFailure):
                text = f"Failed to create pod sandbox: {outcome}"
                self._parts.events.warning(pod, "FailedCreatePodSandBox", text)
                self._hold_all(self._sandbox_retries, "sandbox")
            elif isinstance(outcome, BaseException):
                raise outcome

    async def _run_sandbox(self, pod: Obj, attempt: int) -> None:
        try:
            address = "" if pod_spec.host_network(pod) else self._parts.addresses.allocate(self._uid)
        except Exception as error:
            raise RuntimeFailure("FailedCreatePodSandBox", str(error)) from error
        config = self._sandbox_config(pod, attempt, address)
        sandbox_id = await self._parts.runtime.run_pod_sandbox(config)
        self._parts.pleg.saw_sandbox(SandboxStatus(sandbox_id, config, SandboxState.READY, self._parts.clock.time()))

    def _sandbox_config(self, pod: Obj, attempt: int, address: str) -> SandboxConfig:
        config, name, namespace = self._parts.config, pod_spec.name_of(pod), pod_spec.namespace_of(pod)
        logs = config.log_directory(namespace, name, self._uid)
        directory = config.pod_directory(self._uid) / "sandboxes" / str(attempt)
        logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.mkdir(parents=True, exist_ok=True)
        sysctls = (pod["spec"].get("securityContext") or {}).get("sysctls") or ()
        return SandboxConfig(
            uid=self._uid,
            name=name,
            namespace=namespace,
            hostname=sandbox_hostname(pod, config),
            ip=address,
            log_directory=logs,
            directory=directory,
            attempt=attempt,
            host_network=pod_spec.host_network(pod),
            share_process_namespace=bool(pod["spec"].get("shareProcessNamespace")),
            host_ipc=bool(pod["spec"].get("hostIPC")),
            sysctls={each["name"]: str(each["value"]) for each in sysctls},
            resources=pod_resources(pod),
            memory_volumes=self._parts.volumes.memory_volumes(pod),
            labels={
                "io.kubernetes.pod.name": name,
                "io.kubernetes.pod.namespace": namespace,
                "io.kubernetes.pod.uid": self._uid,
                **({OWNER_LABEL: config.owner} if config.owner else {}),
            },
        )

    def _prefetch(self, pod: Obj, names: tuple[str, ...]) -> None:
        for name in names:
            container = pod_spec.find_container(pod, name)
            if container is not None:
                self._parts.images.begin(pod, container)

    async def set_up_volumes(self, pod: Obj) -> None:
        """Once; `volumes_ready` says whether it worked, else `wait_until` when it is tried again."""
        if self.volumes_ready:
            return
        try:
            await self._parts.volumes.set_up(pod)
        except VolumeFailure as failure:
            self._parts.events.warning(pod, "FailedMount", str(failure))
            self._hold_all(self._retries, "volumes")
        else:
            self.volumes_ready = True
            self._retries.forget("volumes")

    def _hold_all(self, backoff: Backoff, key: str) -> None:
        now = self._parts.clock.time()
        backoff.next(key, now)
        held = backoff.hold_since_update(key, now)
        self.wait_until = held[0] if held is not None else now

    async def _start(self, pod: Obj, name: str) -> None:
        container = pod_spec.find_container(pod, name)
        sandbox = self._look().ready_sandbox
        if container is None or sandbox is None:
            return
        try:
            image = await self._parts.images.ensure(pod, container)
            latest = self._look().current(name)
            if latest is not None and latest.finished_at:
                self._parts.crash_backoff.next((self._uid, name), self._parts.clock.time())
            seen = self._look()
            if seen.ready_sandbox is None:
                return  # it ended while the image was looked for: the next plan begins with another
            container_id = await self._parts.starter.start(pod, container, image, seen, self.in_hook)
        except StartFailure as failure:
            now = self._parts.clock.time()
            retry_at = failure.retry_at if failure.retry_at is not None else now + RETRY_SECONDS
            self.holds[name] = Hold(failure.reason, str(failure), retry_at)
            self._parts.events.warning(pod, "Failed", f"Error: {_error_text(failure)}", name)
            self._report()
            return
        self.holds.pop(name, None)
        self._report()
        if container_id in self.in_hook:
            await self._post_start(pod, container, container_id)

    async def _post_start(self, pod: Obj, container: Obj, container_id: str) -> None:
        try:
            await self._parts.hooks.post_start(pod, container, container_id, self._look())
        except HookFailure as failure:
            self._parts.events.warning(pod, "FailedPostStartHook", str(failure), container["name"])
            self._parts.events.normal(pod, "Killing", "FailedPostStartHook", container["name"])
            await stop_containers(self._parts, pod, self._look(), only={container_id: "postStart"})
        finally:
            self.in_hook.discard(container_id)
        self._report()


def _error_text(failure: StartFailure) -> str:
    """Image failures are shown by reason, the others by their text, as kubelet's `Error: ` events do."""
    return failure.reason if "Image" in failure.reason else str(failure)
