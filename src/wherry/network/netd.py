"""netd: what the data path needs while the node agent is away. Cluster DNS, node ports, egress.

Is: the composition of the three, and the two connections they live by: the launcher's (sockets of the node's network, the
second holder of descriptors) and the agent's (`netd_control.py`). Writes nothing to the API, reads nothing from it.
Always true: it serves what it was told last, from its file at first, so `kill -9` costs as long as a start takes;
connections go on; a launcher that was restarted brings a new network, and so a new session.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from wherry.aio.clock import Clock
from wherry.chaos.between import Between
from wherry.chaos.kept import FaultFolder
from wherry.launcher.client import LauncherClient, LauncherError
from wherry.launcher.options import PROC
from wherry.launcher.proc.ports import Ports
from wherry.network import netd_state, nodeport, relays
from wherry.network.detour import Detour, Way
from wherry.network.dns import DnsServer
from wherry.network.dns_forward import Forwarder
from wherry.network.dns_zone import Zone
from wherry.network.egress import Egress
from wherry.network.keeper import Keeper
from wherry.network.kernel_way import KernelWay
from wherry.network.netd_control import Answer, ControlServer, Request
from wherry.network.netd_state import NetdState
from wherry.network.nftables import NodeNetwork
from wherry.network.nodeport import NodePorts
from wherry.network.places import PlainPlaces, Where, as_named
from wherry.network.poller import Poller
from wherry.network.relay_way import RelayWay
from wherry.network.relays import Relays
from wherry.network.socket_pool import SocketPool
from wherry.network.told import Told

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.02
RETRY_SECONDS_MAX = 0.5
SAVE_SECONDS = 0.05
"""Several changes of one rollout are one write of the file."""
BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class NetdOptions:
    """`run_directory` is STATE/run: the launcher's socket, ours, and our file."""

    run_directory: Path
    network: NodeNetwork = field(default_factory=NodeNetwork)
    domain: str = "cluster.local"
    dns_address: str = "10.96.0.10"
    node_port_addresses: tuple[str, ...] = ("0.0.0.0",)
    """Where node ports are listened on: every address as in Kubernetes; ("127.0.0.1",) keeps them to this machine."""
    resolv_conf: Path = Path("/etc/resolv.conf")

    @property
    def faults(self) -> Path:
        """Where those made on purpose are kept."""
        return self.run_directory / "chaos"

    @property
    def launcher_socket(self) -> Path:
        return self.run_directory / "launcher.sock"

    @property
    def control_socket(self) -> Path:
        return self.run_directory / "netd.sock"

    @property
    def state_file(self) -> Path:
        return self.run_directory / "netd.json"


async def run(options: NetdOptions, clock: Clock, rng: random.Random) -> None:
    """Serve until cancelled."""
    await Netd(options, clock, rng).run()


class Netd:
    """The parts that outlive a session with the launcher: what we were told, and the listeners of the machine."""

    def __init__(self, options: NetdOptions, clock: Clock, rng: random.Random) -> None:
        self._options = options
        self._clock = clock
        self._rng = rng
        self._state = NetdState()
        self._serial = 0
        self._unsaved = asyncio.Event()
        self._forwarder = Forwarder(clock, rng, options.resolv_conf)
        self._ports = NodePorts(options.node_port_addresses, rng)
        self._session: _Session | None = None
        self._limit = 0
        self._faults = FaultFolder(options.faults, clock)
        self._told = Told(clock)

    async def run(self) -> None:
        self._limit = relays.raise_file_limit()
        self._apply(netd_state.load(self._options.state_file))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(ControlServer(self._options.control_socket, self._handle).run())
                group.create_task(self._save())
                group.create_task(self._sessions())
        finally:
            self._ports.close()

    # --- what we are told -------------------------------------------------------------------------------------------------

    def _handle(self, request: Request) -> Answer:
        if request.op == "replace":
            self._apply(NetdState().changed(request.services, request.namespaces or ()))
        elif request.op == "change":
            self._apply(self._state.changed(request.services, request.namespaces))
        elif request.op == "faults":
            self._told.look()
        elif request.op != "status":
            raise ValueError(f"netd does not know {request.op!r}")
        if request.op in ("replace", "change"):
            self._unsaved.set()
        return Answer(
            True, "", dict(self._ports.failures), self._statistics(), made=self._told.all, refused=self._told.refused
        )

    def _apply(self, state: NetdState) -> None:
        self._state = state
        self._serial += 1
        self._ports.update(state.services.values())
        if self._session is not None:
            self._session.egress.update(state.services.values())
            self._session.dns.set_zone(self._zone())

    def _zone(self) -> Zone:
        return Zone(
            self._state.services,
            frozenset(self._state.namespaces),
            domain=self._options.domain,
            dns_address=self._options.dns_address,
            host_address=self._options.network.gateway,
            serial=self._serial,
        )

    def _statistics(self) -> dict[str, int]:
        session = self._session
        return {
            "services": len(self._state.services),
            "launcher": int(self._ports.attached),
            "connections": len(session.relays) if session else 0,
        }

    async def _save(self) -> None:
        while True:
            await self._unsaved.wait()
            await self._clock.sleep(SAVE_SECONDS)
            self._unsaved.clear()
            try:
                netd_state.save(self._options.state_file, self._state)
            except OSError as error:
                log.warning("what netd serves is not saved, the next one waits for the agent: %s", error)

    # --- sessions with the launcher -----------------------------------------------------------------------------------------

    async def _sessions(self) -> None:
        delay = RETRY_SECONDS
        while True:
            launcher = LauncherClient(self._options.launcher_socket)
            try:
                await launcher.connect()
                await self._serve(launcher)
            except (OSError, LauncherError) as error:
                log.info("no launcher: %s", error)
                if isinstance(error, LauncherError):
                    delay = RETRY_SECONDS_MAX
            else:
                delay = RETRY_SECONDS
            finally:
                launcher.close()
            await self._clock.sleep(delay)
            delay = min(delay * 2, RETRY_SECONDS_MAX)

    async def _serve(self, launcher: LauncherClient) -> None:
        """One launcher, from its first socket to its end."""
        with ExitStack() as stack:
            session = await self._begin(launcher, stack)
            self._session = session
            self._apply(self._state)  # it may have changed while we waited for the launcher
            tasks = [asyncio.ensure_future(work) for work in (
                session.dns.run(), session.keeper.run(), session.pool.run(), session.detour.run(), launcher.wait_closed(),
            )]  # fmt: skip
            try:
                held = await session.keeper.take_all(nodeport.PREFIX)
                self._ports.attach(session.relays, session.pool, session.keeper, held, session.where)
                session.egress.start()
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._session = None
                self._ports.detach()
                session.egress.stop()
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, ConnectionError | LauncherError):
                raise result

    async def _begin(self, launcher: LauncherClient, stack: ExitStack) -> _Session:
        """Get the sockets, and take over the connections the launcher holds for us; `stack` closes all of it."""

        async def listen(kind: str, ip: str, port: int, keep: str) -> socket.socket:
            backlog = BACKLOG if kind == "tcp" else 0
            reply = await launcher.call(
                "node.socket", family="inet", type=kind, bind=[ip, port], backlog=backlog, freebind=True, keep=keep
            )
            sock = stack.enter_context(socket.socket(fileno=reply.fds[0]))
            sock.setblocking(False)
            return sock

        options = self._options
        udp = await listen("udp", options.dns_address, 53, "dns-udp")
        tcp = await listen("tcp", options.dns_address, 53, "dns-tcp")
        out = await listen("tcp", "0.0.0.0", options.network.egress_port, "egress")
        keeper, pool = Keeper(launcher), SocketPool(launcher)
        poller = Poller()
        stack.callback(poller.close)
        poller.start()
        joined = Relays(keeper, poller, self._limit)
        stack.callback(joined.close)
        pool.on_filled = joined.wake
        joined.restore(await keeper.take_all(relays.PREFIX))
        egress = Egress(out, joined, options.network, self._rng)
        tier = (await launcher.call("ping")).args["tier"]
        self._told.look()  # a fault may hold since before this launcher, or this netd, was there
        between = Between()
        ports = Ports(str(options.run_directory / "ports"))
        way: Way = RelayWay(launcher, ports, between, self._clock) if tier == PROC else KernelWay(launcher, self._clock)
        detour = Detour(way, between, FaultFolder(options.faults, self._clock), self._told, self._clock)
        where = PlainPlaces(options.run_directory, options.network).real if tier == PROC else as_named
        return _Session(
            DnsServer(udp, tcp, self._zone(), self._forwarder, self._faults),
            egress,
            keeper,
            pool,
            joined,
            detour,
            where,
        )


@dataclass(frozen=True, slots=True)
class _Session:
    """Everything that lives in the network of one launcher."""

    dns: DnsServer
    egress: Egress
    keeper: Keeper
    pool: SocketPool
    relays: Relays
    detour: Detour
    where: Where
