"""The components of a simulation as processes: which there are, and how each is built, crashes and comes back.

A component that stands alone has informers and a connection of its own, so that its picture of the world differs from the
others'. What does not stand alone shares a process, as all of them do in production.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from wherry.aio.clock import Clock
from wherry.apiserver.aggregation import local
from wherry.apiserver.auth.user import User
from wherry.apiserver.bootstrap import keeper
from wherry.apiserver.bootstrap.objects import kept_objects
from wherry.client.events import EventRecorder
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.cluster import controllers
from wherry.cluster.composition import OURSELVES, Site
from wherry.cluster.options import Options
from wherry.kubelet.simulated.simulation import POD_RANGE, Simulation
from wherry.network.ipam import PodAddresses
from wherry.testing.simulation.process import Process
from wherry.testing.simulation.server import Server
from wherry.testing.simulation.wire import Wire

MANAGER = "controller-manager"
"""Every controller that does not stand alone."""
NODES = "nodes"
"""All node agents that do not stand alone."""
AGENT = "node agent "
"""… and those that do, followed by the number of their node."""
SCHEDULER = "scheduler"
TWIN = 1000
"""Starts are numbered from here, so that chance is not the same."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What all components of a simulation have in common."""

    server: Server
    clock: Clock
    seed: int
    site: Site
    options: Options
    wire: Callable[[str, User, str], Wire]
    """(component, user, field manager)."""
    failed: Callable[[str], None]


class Member:
    """`start` and `crash`, as often as one likes."""

    def __init__(self, name: str, where: Whereabouts, work: Container[str], nodes: tuple[int, ...] = ()) -> None:
        """`work`: the controllers it runs; `nodes`: the nodes whose agent it is."""
        self.name = name
        self._where = where
        self._work = work
        self._nodes = nodes
        self._starts = 0
        self._process: Process | None = None
        self.wires: list[Wire] = []

    @property
    def runs(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        if self._process is not None:
            return
        self._starts += 1
        where = self._where
        rng = random.Random(f"{where.seed}/{self.name}/{self._starts}")
        process = self._process = Process(self.name, where.failed)
        client = self._client("kube-controller-manager")
        factory = InformerFactory(client, where.clock, rng)
        workers = self._agents(client, factory, rng) if self._nodes else self._controllers(client, factory, rng)
        process.run(factory.run(), "informers")
        for worker in workers:
            process.run(worker.run(), type(worker).__name__ + " " + getattr(worker, "name", ""))

    async def crash(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for wire in self.wires:  # first of all: what the tasks do while they end does not reach the server
            wire.down = True
        self.wires = []
        await process.crash()

    def twin(self) -> Member:
        """Another of the same kind: what runs when the one that was thought dead is not."""
        other = Member(self.name, self._where, self._work, self._nodes)
        other._starts = TWIN
        return other

    def _client(self, manager: str) -> Client:
        wire = self._where.wire(self.name, OURSELVES, manager)
        self.wires.append(wire)
        return Client(wire)

    def _controllers(self, client: Client, factory: InformerFactory, rng: random.Random) -> Sequence[controllers.Runs]:
        where, server = self._where, self._where.server
        app = server.app
        assert app is not None, "components start when the API server has"
        whole = controllers.Whole(
            client,
            factory,
            where.clock,
            rng,
            server.scheme,
            app.core.serving,
            where.site.certificate,
            app.tokens.issue_for_secret,
            where.site.sign_certificate,
            self._client("kube-scheduler") if SCHEDULER in self._work else client,
            where.site.directories,
        )
        built = controllers.build(whole, where.options, self._work)
        if self.name == MANAGER:
            built.append(local.build(app.core.serving, client, factory, where.clock))
            built.append(keeper.build(client, factory, where.clock, server.scheme, kept_objects(server.first)))
        return built

    def _agents(self, client: Client, factory: InformerFactory, rng: random.Random) -> Sequence[controllers.Runs]:
        where = self._where
        recorder = EventRecorder(client, "kubelet", "simulated", where.clock, rng)
        ranges = [*ipaddress.ip_network(POD_RANGE).subnets(prefixlen_diff=6)]
        addresses = PodAddresses(str(ranges[self._nodes[0]]))  # no other member has its first node
        simulation = Simulation(
            where.options.simulated_nodes,
            where.options.kubernetes_version,
            client,
            factory,
            recorder,
            addresses,
            where.clock,
            rng,
            mine=self._nodes,
        )
        return [recorder, simulation]


@dataclass(frozen=True, slots=True)
class Others:
    """Contains every name but these."""

    apart: tuple[str, ...]

    def __contains__(self, name: object) -> bool:
        return name not in self.apart


def members(where: Whereabouts, alone: Sequence[str]) -> dict[str, Member]:
    """All of them, none started, in the order in which they start."""
    nodes = set(range(where.options.simulated_nodes))
    apart = (SCHEDULER, *(name for name in alone if not name.startswith(AGENT)))
    made = {name: Member(name, where, (name,)) for name in apart}
    made[MANAGER] = Member(MANAGER, where, Others(apart))
    for name in alone:
        if name.startswith(AGENT):
            number = int(name.removeprefix(AGENT))
            nodes.remove(number)
            made[name] = Member(name, where, (), (number,))
    if nodes:
        made[NODES] = Member(NODES, where, (), tuple(sorted(nodes)))
    return made
