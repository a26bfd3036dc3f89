"""The node's kube-proxy, in the node agent: services and endpoints from the API to the kernel's rules and to netd.

Is: two followers of one watch, each with its connection, its retries and its resync. Is not: the rules (`nftables.py`) or
what netd serves (`netd.py`). Writes to the API only Events.
Always true: nothing is written before the informers are synced, so the rules of an agent that was killed stay until the
new one knows better; a change that comes while another is written waits for it and joins with others of its kind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from wherry.aio.clock import Clock
from wherry.client.events import EventRecorder
from wherry.client.informer import InformerFactory
from wherry.launcher.client import LauncherClient, LauncherError
from wherry.launcher.options import PROC
from wherry.network.kernel_sync import KernelSync
from wherry.network.netd_control import Answer, ControlClient, Request
from wherry.network.nfnetlink import NetlinkError
from wherry.network.nftables import NodeNetwork
from wherry.network.service_watch import ServiceWatch
from wherry.network.services import ServiceRecord
from wherry.network.shim_sync import ShimSync

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.02
RETRY_SECONDS_MAX = 1.0


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """`run_directory` is STATE/run, where the launcher and netd listen; `node` is this node's name."""

    run_directory: Path
    node: str
    network: NodeNetwork


class Proxy:
    """`await run()` in the agent's task group. `synced` is set while the kernel holds what the API says."""

    def __init__(self, factory: InformerFactory, recorder: EventRecorder, options: ProxyOptions, clock: Clock) -> None:
        self._watch = ServiceWatch(factory, options.node)
        self._recorder = recorder
        self._options = options
        self._clock = clock
        self._told: dict[tuple[str, str], str] = {}
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        await self._watch.wait_synced()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again_and_again("the kernel's rules", self._serve_kernel))
            group.create_task(self._again_and_again("netd", self._serve_netd))

    async def _again_and_again(self, what: str, serve: Callable[[], Awaitable[None]]) -> None:
        delay = RETRY_SECONDS
        while True:
            began = self._clock.monotonic()
            try:
                await serve()
            except OSError as error:
                log.info("%s: %s", what, error)  # somebody is being restarted
            except (LauncherError, NetlinkError) as error:
                log.warning("%s: %s", what, error)
            if self._clock.monotonic() - began > RETRY_SECONDS_MAX:
                delay = RETRY_SECONDS
            await self._clock.sleep(delay)
            delay = min(delay * 2, RETRY_SECONDS_MAX)

    # --- the kernel -------------------------------------------------------------------------------------------------------

    async def _serve_kernel(self) -> None:
        """One launcher, from the first table to its end."""
        launcher = LauncherClient(self._options.run_directory / "launcher.sock")
        await launcher.connect()
        follower = self._watch.follow()
        ended = asyncio.ensure_future(launcher.wait_closed())
        ended.add_done_callback(lambda _: follower.wake.set())
        try:
            tier = (await launcher.call("ping")).args["tier"]
            kernel = (ShimSync if tier == PROC else KernelSync)(launcher, self._options.network)
            records = self._watch.records()
            await kernel.rebuild(records)
            for key in records:
                self._tell_unsupported(key, kernel.sticky)
            while not launcher.closed.is_set():
                self.synced.set()
                await follower.wake.wait()
                keys, _ = follower.take()
                self.synced.clear()
                await kernel.change({key: self._watch.record(key) for key in keys})
                for key in keys:
                    self._tell_unsupported(key, kernel.sticky)
        finally:
            self.synced.clear()
            self._watch.unfollow(follower)
            ended.cancel()
            launcher.close()

    # --- netd ---------------------------------------------------------------------------------------------------------------

    async def _serve_netd(self) -> None:
        """One netd, from its first word to its end."""
        netd = ControlClient(self._options.run_directory / "netd.sock")
        await netd.connect()
        follower = self._watch.follow()
        answers = asyncio.ensure_future(netd.run())
        answers.add_done_callback(lambda _: follower.wake.set())
        try:
            sent = self._watch.records()
            answer = await netd.replace(sent, self._watch.namespaces())
            while not answer.statistics["launcher"]:  # it listens only when it can serve
                await self._clock.sleep(RETRY_SECONDS_MAX / 5)
                answer = await netd.ask(Request("status"))
            self._tell_failures(sent, answer)
            while not answers.done():
                await follower.wake.wait()
                keys, namespaces = follower.take()
                now = {key: self._watch.record(key) for key in keys}
                changed = {key: record for key, record in now.items() if record != sent.get(key)}
                if not changed and not namespaces:
                    continue
                answer = await netd.change(changed, self._watch.namespaces() if namespaces else None)
                sent = {key: r for key, r in {**sent, **changed}.items() if r is not None}
                self._tell_failures(sent, answer)
        finally:
            self._watch.unfollow(follower)
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            netd.close()

    # --- what users are told ------------------------------------------------------------------------------------------------

    def _tell_unsupported(self, key: str, sticky: bool) -> None:
        record = self._watch.record(key)
        ports = ", ".join(record.unsupported) if record else ""
        text = f"port {ports} is not served: the node has no proxy for this protocol" if ports else ""
        self._tell(key, "UnsupportedProtocol", text)
        text = "sessionAffinity ClientIP is not honoured: this kernel has no hash expression in nf_tables"
        self._tell(key, "SessionAffinityIgnored", text if record and record.sticky and not sticky else "")
        udp = [str(p.node_port) for p in record.ports if p.protocol == "UDP" and p.node_port] if record else []
        text = f"UDP node port {', '.join(udp)} is served to pods only, not outside of the node's network"
        self._tell(key, "NodePortInsideOnly", text if udp else "")

    def _tell_failures(self, records: dict[str, ServiceRecord], answer: Answer) -> None:
        for key, record in records.items():
            texts = [answer.failures[n] for p in record.ports if (n := str(p.node_port)) in answer.failures]
            self._tell(key, "NodePortFailed", "; ".join(texts))

    def _tell(self, key: str, reason: str, text: str) -> None:
        """A Warning event, when it is news."""
        if self._told.get((key, reason), "") == text:
            return
        self._told[key, reason] = text
        service = self._watch.service(key)
        if not text or service is None:
            del self._told[key, reason]
            return
        self._recorder.event(service, "Warning", reason, text)
