"""The control plane: storage, API server, controllers and scheduler in one event loop, nothing serialised between them."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import socket
import ssl
import sys
from asyncio import sslproto
from functools import partial
from itertools import chain
from typing import Any

from wherry.aio.backoff import Backoff
from wherry.aio.clock import Clock, RealClock
from wherry.api.resources import NODES, PODS, SERVICE_CIDRS, SERVICES
from wherry.api.scheme import Scheme
from wherry.api.service_ranges import networks
from wherry.apiserver.app import App
from wherry.apiserver.app import Options as ServerOptions
from wherry.apiserver.audit.audit import Audit
from wherry.apiserver.audit.file import AuditFile
from wherry.apiserver.audit.policy import parse
from wherry.apiserver.bootstrap.ensure import ensure
from wherry.apiserver.bootstrap.objects import bootstrap_objects
from wherry.apiserver.dialing import NodeNetwork
from wherry.apiserver.edge import Edge
from wherry.apiserver.registry.allocation import service_allocators
from wherry.apiserver.stored_versions import StoredVersions
from wherry.apiserver.trust import Identity
from wherry.chaos.deciding import is_cut_off, is_full
from wherry.chaos.kept import FaultFolder
from wherry.client.rest import Client
from wherry.cluster import node_listener, pki, private, process
from wherry.cluster.composition import (
    ENDPOINT_PORT,
    Composition,
    Site,
    bootstrap_options,
    client_as,
    compose,
)
from wherry.cluster.encryption import ROTATE, Sealed
from wherry.cluster.members import ADDED_LABEL, members
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.cluster.pki import Pki
from wherry.cluster.signing import Signer
from wherry.controllers.persistent_volume import HostDirectories

SWITCH_SECONDS = 0.0005
"""How long the loop may keep the interpreter from the writer thread: measured, a quarter more writes at 16 clients."""
TLS_READ_BYTES = 8 << 10
"""Half a TLS record. asyncio reserves a quarter of a megabyte per connection: with ten thousand watches that is gigabytes."""
COLLECT_AFTER = (10_000, 100, 100)
"""Stored objects are many and hold no cycles: looking at all of them was what the slowest writes waited for. The young ones
are looked at in small portions: 50,000 at a time took 20 to 70 ms."""


def main(state: State) -> None:
    """Until SIGTERM."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*COLLECT_AFTER)
    sslproto.SSLProtocol.max_size = TLS_READ_BYTES
    process.run("control-plane", run(state, process.options_of(state), RealClock(), random.Random()))


async def run(state: State, options: Options, clock: Clock, rng: random.Random) -> None:
    """Start in the order each needs the one before; stop by cancellation, storage last."""
    files = Pki(state.pki)
    state.ready.unlink(missing_ok=True)
    pki.ensure(files, options, clock.time())
    scheme = Scheme.load(options.kubernetes_version)
    # Faults of the disk are looked up in the thread that writes.
    sealed = Sealed(state, StoredVersions(scheme), partial(is_full, FaultFolder(state.chaos, clock)))
    storage = sealed.storage
    try:
        await sealed.start()
        allocators: dict[str, Any] = {}
        faults = FaultFolder(state.chaos, clock)
        app = App(
            scheme,
            storage,
            clock,
            rng,
            ServerOptions(
                service_account_key=files.token_key.read_bytes(),
                server_address=f"{options.address}:{options.port}",
                kubelet_socket=lambda node: (
                    "/nonexistent" if is_cut_off(faults, node) else str(state.kubelet_socket(node))
                ),
                allocators=allocators,
                audit=_audit(state, options, clock, rng),
                operations={ROTATE: sealed.rotate},
                faults=faults,
                dialer=NodeNetwork(
                    state.launcher_socket,
                    (options.pod_cidr, options.service_cidr),
                    lambda: chain.from_iterable(map(networks, app.core.reader.list(SERVICE_CIDRS))),
                ),
            ),
        )
        app.extensions.load()
        reader = app.core.reader
        allocators.update(service_allocators(reader.list(SERVICES), rng, options.service_cidr, reader=reader))
        site = _site(state, files, clock)
        wanted = bootstrap_options(options, site, scheme, clock)
        # Not kept in a name: they would lie there for as long as we run.
        await ensure(client_as(app, "kube-apiserver"), scheme, bootstrap_objects(wanted))
        await _remove_nodes(client_as(app, "kube-controller-manager"), options)
        await _serve(state, options, app, compose(app, site, options, clock, rng), clock, rng)
    finally:
        await storage.close()


def _site(state: State, files: Pki, clock: Clock) -> Site:
    return Site(
        files.ca.read_text(),
        files.front_proxy_ca.read_text(),
        Identity(files.certificate("front-proxy-client"), files.key("front-proxy-client")),
        Signer(files, clock),
        HostDirectories(state.volumes),
    )


def _audit(state: State, options: Options, clock: Clock, rng: random.Random) -> Audit | None:
    """Nothing without a policy."""
    if not options.audit_policy:
        return None
    return Audit(parse(json.loads(options.audit_policy)), AuditFile(state.log("audit")), clock, rng)


async def _serve(
    state: State, options: Options, app: App, composition: Composition, clock: Clock, rng: random.Random
) -> None:
    edge, context = Edge(app, clock), tls(Pki(state.pki))
    inside = [(options.api_service_ip, 443), (options.pod_gateway, ENDPOINT_PORT)]
    await edge.listen(_listener(options), context)
    private.write(state.ready, str(os.getpid()))
    gc.freeze()  # what is here stays: no collection need look at it
    async with asyncio.TaskGroup() as group:
        group.create_task(edge.run(), name="edge")
        group.create_task(composition.factory.run(), name="informers")
        for worker in composition.workers:
            group.create_task(worker.run())
        group.create_task(
            node_listener.serve(edge, context, state.launcher_socket, inside, clock, Backoff(rng)),
            name="node listener",
        )


async def _remove_nodes(client: Client, options: Options) -> None:
    """Nodes of an earlier start with more of them: nobody will report for them again, and what ran there has ended with
    the launcher, so that their pods need not be waited for."""
    wanted = {each.name for each in members(options)}
    for node in (await client.list(NODES, labels=ADDED_LABEL))["items"]:
        name = node["metadata"]["name"]
        if name in wanted:
            continue
        for pod in (await client.list(PODS, fields=f"spec.nodeName={name}"))["items"]:
            await client.delete(PODS, pod["metadata"]["name"], pod["metadata"]["namespace"], grace_seconds=0)
        await client.delete(NODES, name)


def _listener(options: Options) -> socket.socket:
    """The supervisor's socket, which outlives us; our own where there is none (a supervisor that took over)."""
    inherited = os.environ.get("LISTEN_FD", "")
    if inherited:
        return socket.socket(fileno=int(inherited))
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((options.address, options.port))
    return listener


def tls(files: Pki) -> ssl.SSLContext:
    """TLS 1.2 and newer; a client may show a certificate of our authority or a token."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate("apiserver"), files.key("apiserver"))
    context.load_verify_locations(files.ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context
