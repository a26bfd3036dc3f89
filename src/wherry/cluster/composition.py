"""Everything that works on the API of one system, put together over an App: controllers, scheduler, aggregation, pretended nodes.

Is: the one list of what a control plane runs, whether in a process of its own over SQLite or inside a test over memory.
Is not: the server, storage, sockets and certificates, which differ between those.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from wherry.aio.clock import Clock, rfc3339
from wherry.api.scheme import Scheme
from wherry.apiserver.aggregation import aggregator, local
from wherry.apiserver.app import App
from wherry.apiserver.auth.user import AUTHENTICATED, MASTERS, User
from wherry.apiserver.bootstrap import keeper
from wherry.apiserver.bootstrap.objects import BootstrapOptions, kept_objects
from wherry.apiserver.in_process import InProcessTransport
from wherry.apiserver.trust import Identity
from wherry.chaos.deciding import is_cut_off
from wherry.client.events import EventRecorder
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.cluster import controllers
from wherry.cluster.options import Options
from wherry.controllers import certificates, cronjob, node_lifecycle
from wherry.controllers.persistent_volume import Directories
from wherry.reconcile.controller import Controller
from wherry.reconcile.queue_metrics import work_queues
from wherry.reconcile.workqueue import WorkQueue

if TYPE_CHECKING:
    from wherry.kubelet.simulated.heartbeats import Heartbeats
    from wherry.kubelet.simulated.simulation import Simulation

ENDPOINT_PORT = 6443
"""Where the API listens on the node's own address in the pod network: what the Service `kubernetes` leads to."""
OURSELVES = User("system:kube-controller-manager", (MASTERS, AUTHENTICATED))


@dataclass(frozen=True, slots=True)
class Site:
    """What depends on where a control plane runs. Certificates are PEM."""

    certificate: str
    front_proxy_certificate: str
    identity: Identity
    """What aggregated API servers know us by."""
    sign_certificate: certificates.Sign
    directories: Directories
    heartbeats: Heartbeats | None = None
    """Of pretended nodes, where they are reckoned; None: each is waited for."""
    look_seconds: float = cronjob.LOOK_SECONDS_MAX
    """How far CronJobs trust that wall and monotonic time go together."""


@dataclass(frozen=True, slots=True)
class Composition:
    """Run `factory.run()` and each worker's `run()` until cancelled; the App is run by whoever made it."""

    client: Client
    factory: InformerFactory
    workers: list[controllers.Runs]
    simulation: Simulation | None = None


def client_as(app: App, manager: str) -> Client:
    """We are one process; what is written says as whom, as if we were several."""
    return Client(InProcessTransport(app, OURSELVES, manager))


def compose(app: App, site: Site, options: Options, clock: Clock, rng: random.Random) -> Composition:
    """Starts nothing."""
    client = client_as(app, "kube-controller-manager")
    factory = InformerFactory(client, clock, rng)
    whole = controllers.Whole(
        client,
        factory,
        clock,
        rng,
        app.core.scheme,
        app.core.serving,
        site.certificate,
        app.tokens.issue_for_secret,
        site.sign_certificate,
        client_as(app, "kube-scheduler"),
        site.directories,
        site.heartbeats.last_sign if site.heartbeats is not None else node_lifecycle.unheard,
        site.look_seconds,
    )
    workers = controllers.build(whole, options)
    workers += [
        aggregator.build(app.core, client, factory, clock, site.identity),
        local.build(app.core.serving, client, factory, clock),
        _keeper(app, site, options, factory, clock),
    ]
    simulation = None
    if options.simulated_nodes:
        recorder = EventRecorder(client, "kubelet", "simulated", clock, rng)
        simulation = _simulation(app, site, options, client, factory, recorder, clock, rng)
        workers += [recorder, simulation]
    app.metrics.collectors.append(work_queues(lambda: _queues(workers)))
    return Composition(client, factory, workers, simulation)


def _keeper(app: App, site: Site, options: Options, factory: InformerFactory, clock: Clock) -> controllers.Runs:
    scheme = app.core.scheme
    kept = kept_objects(bootstrap_options(options, site, scheme, clock))
    return keeper.build(client_as(app, "kube-apiserver"), factory, clock, scheme, kept)


def _simulation(
    app: App,
    site: Site,
    options: Options,
    client: Client,
    factory: InformerFactory,
    recorder: EventRecorder,
    clock: Clock,
    rng: random.Random,
) -> Simulation:
    """Nodes that only pretend live here: nothing between them and the API is serialised."""
    from wherry.kubelet.simulated.simulation import POD_RANGE, Simulation  # few want them
    from wherry.network.ipam import PodAddresses

    addresses = PodAddresses(POD_RANGE)
    simulation = Simulation(
        options.simulated_nodes,
        options.kubernetes_version,
        client,
        factory,
        recorder,
        addresses,
        clock,
        rng,
        site.heartbeats,
        cut_off=partial(is_cut_off, app.faults) if app.faults is not None else lambda name: False,
    )
    app.metrics_api.simulated = simulation.summary
    app.core.pretended = simulation
    return simulation


def bootstrap_options(options: Options, site: Site, scheme: Scheme, clock: Clock) -> BootstrapOptions:
    """What the objects every system begins with say of this one."""
    return BootstrapOptions(
        now=rfc3339(clock.time()),
        scheme=scheme,
        service_cidr=options.service_cidr,
        api_address=options.api_service_ip,
        api_port=ENDPOINT_PORT,
        endpoint_address=options.pod_gateway,
        client_ca=site.certificate,
        front_proxy_ca=site.front_proxy_certificate,
        storage_provisioner=controllers.PROVISIONER,
    )


def _queues(workers: list[controllers.Runs]) -> dict[str, WorkQueue[Any]]:
    """The controllers' queues, for /metrics."""
    return {worker.name: worker.queue for worker in workers if isinstance(worker, Controller)}
