"""Every controller and the scheduler, built over one set of informers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from wherry.aio.clock import Clock
from wherry.api.scheme import Scheme
from wherry.api.types import Obj
from wherry.client.events import EventRecorder
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.cluster.options import Options
from wherry.cluster.paths import State
from wherry.controllers import (
    deployment,
    endpoints,
    endpointslice,
    garbage_collector,
    horizontal_pod_autoscaler,
    job,
    namespace,
    node_lifecycle,
    persistent_volume,
    pod_gc,
    replicaset,
    root_ca,
    service_account,
    service_account_token,
    statefulset,
    ttl_after_finished,
)
from wherry.scheduler.scheduler import Scheduler

PROVISIONER = "wherry.dev/directory"


class Runs(Protocol):
    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What controllers need besides the API."""

    client: Client
    clock: Clock
    rng: random.Random
    scheme: Scheme
    certificate: str
    """PEM of our certificate authority, for kube-root-ca.crt and token secrets."""
    sign: Callable[[Obj, Obj], str]
    """(service account, secret) -> token."""


def build(parts: Parts, factory: InformerFactory, state: State, options: Options) -> list[Runs]:
    """Each runs until cancelled; recorders are among them. Informers start with `factory.run()`."""
    client, clock, rng = parts.client, parts.clock, parts.rng
    recorders: list[EventRecorder] = []

    def recorder(component: str) -> EventRecorder:
        recorders.append(EventRecorder(client, component, "", clock, rng))
        return recorders[-1]

    workloads = {
        "deployment-controller": deployment,
        "replicaset-controller": replicaset,
        "statefulset-controller": statefulset,
        "job-controller": job,
        "ttl-after-finished-controller": ttl_after_finished,
        "endpoint-controller": endpoints,
        "endpoint-slice-controller": endpointslice,
        "serviceaccount-controller": service_account,
        "pod-garbage-collector": pod_gc,
        "node-controller": node_lifecycle,
    }
    built: list[Runs] = [
        module.build(client, factory, recorder(name), clock, rng) for name, module in workloads.items()
    ]
    common = (client, factory, recorder("controllermanager"), clock, rng)
    built += [
        garbage_collector.build(*common, scheme=parts.scheme),
        namespace.build(*common, scheme=parts.scheme),
        root_ca.build(*common, certificate=parts.certificate),
        service_account_token.build(*common, certificate=parts.certificate, sign=parts.sign),
        persistent_volume.build(
            client,
            factory,
            recorder("persistentvolume-controller"),
            clock,
            rng,
            provisioner=PROVISIONER,
            directories=persistent_volume.HostDirectories(state.volumes),
        ),
        horizontal_pod_autoscaler.build(
            client,
            factory,
            recorder("horizontal-pod-autoscaler"),
            clock,
            rng,
            scheme=parts.scheme,
            sync_seconds=options.hpa_sync_seconds,
        ),
        Scheduler(client, factory, recorder("default-scheduler"), clock, rng),
    ]
    return [*built, *recorders]
