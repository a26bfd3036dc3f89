"""Every controller and the scheduler, built over one set of informers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from wherry.aio.clock import Clock
from wherry.api.resources import FLOW_SCHEMAS, IP_ADDRESSES
from wherry.api.scheme import Scheme
from wherry.api.types import Obj
from wherry.client.events import EventRecorder
from wherry.client.informer import InformerFactory
from wherry.client.rest import Client
from wherry.cluster.options import Options
from wherry.controllers import (
    certificates,
    cluster_role_aggregation,
    cronjob,
    daemonset,
    deployment,
    endpoints,
    endpointslice,
    endpointslice_mirroring,
    ephemeral_volume,
    flow_schema,
    garbage_collector,
    horizontal_pod_autoscaler,
    ip_addresses,
    job,
    namespace,
    node_lifecycle,
    not_acted_on,
    persistent_volume,
    pod_disruption_budget,
    pod_gc,
    replicaset,
    resource_quota,
    root_ca,
    service_account,
    service_account_token,
    statefulset,
    ttl_after_finished,
)
from wherry.reconcile.kinds import Kinds
from wherry.reconcile.parts import Parts
from wherry.scheduler import profiles
from wherry.scheduler.scheduler import Scheduler

PROVISIONER = "wherry.dev/directory"


class Runs(Protocol):
    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Whole:
    """What all of them need: what each is built from, but for its own recorder, and what only some ask for."""

    client: Client
    factory: InformerFactory
    clock: Clock
    rng: random.Random
    scheme: Scheme
    served: Kinds
    certificate: str
    """PEM of our certificate authority, for kube-root-ca.crt and token secrets."""
    sign: Callable[[Obj, Obj], str]
    """(service account, secret) -> token."""
    sign_certificate: certificates.Sign
    scheduling: Client
    """The same rights, another field manager."""
    directories: persistent_volume.Directories
    """Where the data of provisioned volumes lies."""
    grace_seconds: float = node_lifecycle.GRACE_SECONDS
    """After how long without a sign of life a node is given up."""
    look_seconds: float = cronjob.LOOK_SECONDS_MAX
    """At the latest after which CronJobs ask the wall clock again."""


def build(whole: Whole, options: Options) -> list[Runs]:
    """Each runs until cancelled; recorders are among them. Informers start with `factory.run()`."""
    recorders: list[EventRecorder] = []

    def parts(component: str, client: Client = whole.client) -> Parts:
        recorder = EventRecorder(client, component, "", whole.clock, whole.rng)
        recorders.append(recorder)
        return Parts(client, whole.factory, recorder, whole.clock, whole.rng)

    workloads = {
        "deployment-controller": deployment,
        "replicaset-controller": replicaset,
        "statefulset-controller": statefulset,
        "daemonset-controller": daemonset,
        "job-controller": job,
        "ttl-after-finished-controller": ttl_after_finished,
        "endpoint-controller": endpoints,
        "endpoint-slice-controller": endpointslice,
        "endpoint-slice-mirroring-controller": endpointslice_mirroring,
        "ephemeral-volume-controller": ephemeral_volume,
        "serviceaccount-controller": service_account,
        "pod-garbage-collector": pod_gc,
        "clusterrole-aggregation-controller": cluster_role_aggregation,
    }
    built: list[Runs] = [module.build(parts(name)) for name, module in workloads.items()]
    common = parts("controllermanager")
    built += [
        garbage_collector.build(common, scheme=whole.served),
        namespace.build(common, scheme=whole.served),
        certificates.build(parts("certificate-controller"), sign=whole.sign_certificate),
        root_ca.build(common, certificate=whole.certificate),
        service_account_token.build(common, certificate=whole.certificate, sign=whole.sign),
        cronjob.build(parts("cronjob-controller"), look_seconds=whole.look_seconds),
        node_lifecycle.build(parts("node-controller"), grace_seconds=whole.grace_seconds),
        persistent_volume.build(
            parts("persistentvolume-controller"), provisioner=PROVISIONER, directories=whole.directories
        ),
        horizontal_pod_autoscaler.build(
            parts("horizontal-pod-autoscaler"), scheme=whole.served, sync_seconds=options.hpa_sync_seconds
        ),
        pod_disruption_budget.build(parts("controllermanager"), scheme=whole.served),
        replicaset.build_replication_controller(parts("replication-controller")),
        resource_quota.build(parts("resourcequota-controller"), scheme=whole.served),
        not_acted_on.build(common, scheme=whole.scheme),
        Scheduler(parts("default-scheduler", whole.scheduling), profiles=_profiles(options)),
    ]
    if FLOW_SCHEMAS in whole.scheme.resources:  # since Kubernetes 1.29
        built.append(flow_schema.build(common))
    if IP_ADDRESSES in whole.scheme.resources:  # since Kubernetes 1.33
        built.append(ip_addresses.build(common))
    return [*built, *recorders]


def _profiles(options: Options) -> Sequence[profiles.Profile]:
    config = options.scheduler_config
    return profiles.parse(json.loads(config)) if config else profiles.DEFAULT
