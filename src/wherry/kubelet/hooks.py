"""Lifecycle hooks: postStart and preStop by exec, httpGet or sleep. tcpSocket is refused, as Kubernetes refuses it."""

from __future__ import annotations

import asyncio
import ssl

from wherry.aio.clock import Clock
from wherry.api.types import Obj
from wherry.cri.interface import ContainerStatus, RuntimeFailure
from wherry.kubelet.failures import HookFailure
from wherry.kubelet.observation import PodSeen
from wherry.kubelet.probes import http
from wherry.kubelet.probes.ask import Asker, BadPort, Target, http_url

POST_START_SECONDS_MAX = 3600.0
"""Kubernetes sets no limit; one hour keeps a hook that hangs from holding its pod's worker for ever."""


class Hooks:
    def __init__(self, asker: Asker, clock: Clock) -> None:
        self._asker = asker
        self._clock = clock

    async def post_start(self, pod: Obj, spec: Obj, container_id: str, seen: PodSeen) -> None:
        """Raises HookFailure: the container must be ended."""
        container = seen.latest(spec["name"])
        if container is None or container.id != container_id:
            return
        await self._run(spec["lifecycle"]["postStart"], spec, container, seen, "PostStartHook", POST_START_SECONDS_MAX)

    async def pre_stop(self, pod: Obj, spec: Obj, container: ContainerStatus, seconds: float, seen: PodSeen) -> None:
        """Returns when the hook is over or `seconds` are. Raises HookFailure, which changes nothing for the container."""
        await self._run(spec["lifecycle"]["preStop"], spec, container, seen, "PreStopHook", seconds)

    async def _run(
        self, handler: Obj, spec: Obj, container: ContainerStatus, seen: PodSeen, noun: str, seconds: float
    ) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._handle(handler, spec, container, seen, seconds)
        except TimeoutError as error:
            raise HookFailure(f"{noun} failed: did not complete in the grace period of {seconds:g} s") from error
        except (OSError, RuntimeFailure, BadPort, http.BadResponse) as error:
            raise HookFailure(f"{noun} failed: {error}") from error
        except HookFailure as error:
            raise HookFailure(f"{noun} failed: {error}") from error

    async def _handle(self, handler: Obj, spec: Obj, container: ContainerStatus, seen: PodSeen, seconds: float) -> None:
        if "exec" in handler:
            await self._asker.run(handler["exec"].get("command") or [], container, seconds)
        elif "httpGet" in handler:
            address = seen.sandbox.config.ip if seen.sandbox is not None else ""
            target = Target(container, spec, address or "127.0.0.1")
            await self._get(handler["httpGet"], target)
        elif "sleep" in handler:
            await self._clock.sleep(float(handler["sleep"].get("seconds") or 0))
        else:
            raise HookFailure("tcpSocket is not supported as a lifecycle handler")

    async def _get(self, action: Obj, target: Target) -> None:
        """Any answer will do; HTTPS that turns out to be plain HTTP is asked again as that (kubelet's rule)."""
        url, headers = http_url(action, target), action.get("httpHeaders") or ()
        try:
            await http.get(self._asker.dialer(target), url, headers, self._asker.agent)
        except ssl.SSLError:
            plain = url.replace("https:", "http:", 1)
            await http.get(self._asker.dialer(target), plain, headers, self._asker.agent)
        except OSError as error:
            raise HookFailure(http.unreachable(url, error)) from error
