"""A whole control plane over memory, on whatever event loop it is started: what `ControlPlane` steers from outside.

The composition is production's (`cluster.composition`); what differs is storage, certificates, that volumes have no
directories, and that all nodes are simulated.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from wherry.aio.clock import Clock, LoopClock
from wherry.api.resources import NAMESPACES, NODES, SERVICE_ACCOUNTS, SERVICES
from wherry.api.scheme import Scheme
from wherry.apiserver.app import App
from wherry.apiserver.app import Options as ServerOptions
from wherry.apiserver.auth.user import AUTHENTICATED, MASTERS, User
from wherry.apiserver.in_process import InProcessTransport
from wherry.apiserver.outward import Outward, Reply, Target
from wherry.apiserver.registry.allocation import service_allocators
from wherry.apiserver.trust import Identity
from wherry.chaos.kept import MemoryFaults
from wherry.client.rest import Client
from wherry.cluster.composition import Composition, Site, bootstrap_options, compose
from wherry.cluster.options import Options
from wherry.cluster.signing import Signer
from wherry.controllers.cronjob import LOOK_SECONDS_MAX
from wherry.kubelet.simulated.heartbeats import Heartbeats
from wherry.kubelet.simulated.nodes import RENEW_SECONDS
from wherry.storage.memory import MemoryStorage
from wherry.testing.authority import authority
from wherry.testing.first_state import first_state

if TYPE_CHECKING:
    from wherry.apiserver.edge import Edge

ADMINISTRATOR = User("kubernetes-admin", (MASTERS, AUTHENTICATED))
"""As whom a test acts, in process and with the kubeconfig alike."""
MANAGER = "wherry-testing"
HANDSHAKE_SECONDS = 10 * 365 * 86400.0
"""Time may leap while somebody connects."""
READY_SECONDS = 60.0
"""Of the plane's own time: how long its nodes and its first service account may take. They take none."""


class NoDirectories:
    """Volumes of pods that only pretend hold no data."""

    async def create(self, name: str) -> str:
        return f"/nonexistent/volumes/{name}"

    async def remove(self, name: str) -> None:
        """There is nothing."""


class Counted:
    """`Outward` that knows how many calls are open: others answer in real time, whatever the clock here does."""

    def __init__(self, inner: Outward) -> None:
        self._inner = inner
        self.open = 0

    async def request(
        self, target: Target, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        self.open += 1
        try:
            return await self._inner.request(target, method, path, headers, body, timeout)
        finally:
            self.open -= 1


class Plane:
    """`async with plane.running():` it answers, its nodes are ready, its controllers are at work."""

    def __init__(self, options: Options, clock: Clock, seed: int) -> None:
        self.options = options
        self.clock = clock
        self.rng = random.Random(seed)
        self.scheme = Scheme.load(options.kubernetes_version)
        self.storage = MemoryStorage()
        self.faults = MemoryFaults()
        keys = authority()
        self._allocators: dict[str, Any] = {}
        self.app = App(
            self.scheme,
            self.storage,
            clock,
            self.rng,
            ServerOptions(
                service_account_key=keys.token_key,
                server_address=f"{options.address}:{options.port}",
                allocators=self._allocators,
                faults=self.faults,
            ),
        )
        self._edge: Edge | None = None
        self._composition: Composition | None = None
        self.outward = Counted(self.app.core.outward)
        self.app.core.outward = self.outward
        self.client = Client(InProcessTransport(self.app, ADMINISTRATOR, MANAGER))
        virtual = isinstance(clock, LoopClock)
        self.site = Site(
            keys.certificate,
            keys.front_proxy_certificate,
            Identity(keys.files.certificate("front-proxy-client"), keys.files.key("front-proxy-client")),
            Signer(keys.files, clock),
            NoDirectories(),
            Heartbeats(clock, RENEW_SECONDS) if virtual else None,
            look_seconds=float("inf") if virtual else LOOK_SECONDS_MAX,  # the two times of a virtual clock are one
        )

    @property
    def held(self) -> bool:
        """A request of a client outside, or one of ours to a server outside, is open."""
        edge = self._edge
        return self.outward.open > 0 or (edge is not None and any(one.under_way for one in edge.connections))

    @property
    def listens(self) -> bool:
        """Programs outside may be at work."""
        return self._edge is not None

    @property
    def exchanged(self) -> int:
        """Grows with everything said to or by clients outside: 0 while there are none."""
        return self._edge.exchanged if self._edge is not None else 0

    async def serve(self) -> int:
        """Answer on a free port of the loopback address from now on; the port."""
        from wherry.apiserver.edge import Edge  # most tests have nobody outside
        from wherry.cluster.control_plane import tls

        listener = socket.create_server(("127.0.0.1", 0))
        self._edge = Edge(self.app, self.clock)
        await self._edge.listen(listener, tls(authority().files), HANDSHAKE_SECONDS)
        port: int = listener.getsockname()[1]
        return port

    async def catch_up(self) -> None:
        """Time has come to a stand: show what was only reckoned while it passed."""
        if self._composition is not None and self._composition.simulation is not None:
            await self._composition.simulation.catch_up()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Composition]:
        await self.storage.start()
        try:
            first = bootstrap_options(self.options, self.site, self.scheme, self.clock)
            self.storage.replay(await first_state(first, self.clock, authority().token_key))
            reader, cidr = self.app.core.reader, self.options.service_cidr
            self._allocators.update(service_allocators(reader.list(SERVICES), self.rng, cidr, reader=reader))
            composition = self._composition = compose(self.app, self.site, self.options, self.clock, self.rng)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.app.run()), group.create_task(composition.factory.run())]
                tasks += [group.create_task(worker.run()) for worker in composition.workers]
                await composition.factory.wait_synced()
                await self._ready()
                yield composition
                if self._edge is not None:
                    await self._edge.stop()
                for task in tasks:
                    task.cancel()
        finally:
            await self.storage.close()

    async def _ready(self) -> None:
        """Return once pods can be made and placed."""
        async with asyncio.timeout(READY_SECONDS):
            while not await self._is_ready():
                await self.clock.sleep(0.001)

    async def _is_ready(self) -> bool:
        reader = self.app.core.reader
        nodes: list[Any] = [one for one in reader.list(NODES) if not (one.get("spec") or {}).get("taints")]
        namespaces = [one["metadata"]["name"] for one in reader.list(NAMESPACES)]
        accounts = {one["metadata"]["namespace"] for one in reader.list(SERVICE_ACCOUNTS)}
        return len(nodes) == self.options.simulated_nodes and set(namespaces) <= accounts and bool(namespaces)
