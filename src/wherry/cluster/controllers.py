"""Every controller and the scheduler, built over one set of informers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from wherry.aio.clock import Clock
from wherry.api.resources import FLOW_SCHEMAS, IP_ADDRESSES
from wherry.api.scheme import Scheme
from wherry.api.types import Obj
from wherry.client.event_series import SeriesRecorder
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
    service_cidr,
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
    last_sign: Callable[[str], float] = node_lifecycle.unheard
    """When a node was heard of otherwise than by its lease."""
    look_seconds: float = cronjob.LOOK_SECONDS_MAX
    """At the latest after which CronJobs ask the wall clock again."""


def build(whole: Whole, options: Options, only: Container[str] | None = None) -> list[Runs]:
    """Each runs until cancelled; recorders are among them. Informers start with `factory.run()`. `only`: those of these
    names (see `makers`), where they do not all share one process."""
    recorders: list[EventRecorder] = []

    def parts(
        component: str, client: Client = whole.client, recorder_class: type[EventRecorder] = EventRecorder
    ) -> Parts:
        recorder = recorder_class(client, component, "", whole.clock, whole.rng)
        recorders.append(recorder)
        return Parts(client, whole.factory, recorder, whole.clock, whole.rng)

    built = [make() for name, make in makers(whole, options, parts).items() if only is None or name in only]
    return [*built, *recorders]


def makers(whole: Whole, options: Options, parts: Callable[..., Parts]) -> dict[str, Callable[[], Runs]]:
    """Name -> what builds it, in the order in which all of them are built. `parts(component, client=)` gives each what it
    is built from."""
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
    common = cache(lambda: parts("controllermanager"))
    made: dict[str, Callable[[], Runs]] = {
        name: lambda name=name, module=module: module.build(parts(name))  # type: ignore[misc]  # of a loop's variables
        for name, module in workloads.items()
    }
    made |= {
        "garbage-collector": lambda: garbage_collector.build(common(), scheme=whole.served),
        "namespace-controller": lambda: namespace.build(common(), scheme=whole.served),
        "certificate-controller": lambda: certificates.build(
            parts("certificate-controller"), sign=whole.sign_certificate
        ),
        "root-ca": lambda: root_ca.build(common(), certificate=whole.certificate),
        "service-account-token": lambda: service_account_token.build(
            common(), certificate=whole.certificate, sign=whole.sign
        ),
        "cronjob-controller": lambda: cronjob.build(parts("cronjob-controller"), look_seconds=whole.look_seconds),
        "node-controller": lambda: node_lifecycle.build(
            parts("node-controller"), last_sign=whole.last_sign, evicting=parts("taint-eviction-controller")
        ),
        "persistentvolume-controller": lambda: persistent_volume.build(
            parts("persistentvolume-controller"), provisioner=PROVISIONER, directories=whole.directories
        ),
        "horizontal-pod-autoscaler": lambda: horizontal_pod_autoscaler.build(
            parts("horizontal-pod-autoscaler"), scheme=whole.served, sync_seconds=options.hpa_sync_seconds
        ),
        "disruption-controller": lambda: pod_disruption_budget.build(parts("controllermanager"), scheme=whole.served),
        "replication-controller": lambda: replicaset.build_replication_controller(parts("replication-controller")),
        "resourcequota-controller": lambda: resource_quota.build(
            parts("resourcequota-controller"), scheme=whole.served
        ),
        "not-acted-on": lambda: not_acted_on.build(common(), scheme=whole.scheme),
        "scheduler": lambda: Scheduler(
            parts("default-scheduler", whole.scheduling, SeriesRecorder), profiles=_profiles(options)
        ),
    }
    if FLOW_SCHEMAS in whole.scheme.resources:  # since Kubernetes 1.29
        made["flow-schema"] = lambda: flow_schema.build(common())
    if IP_ADDRESSES in whole.scheme.resources:  # since Kubernetes 1.33
        made["ip-addresses"] = lambda: ip_addresses.build(common())
        made["service-cidr"] = lambda: service_cidr.build(common())
    return made


def _profiles(options: Options) -> Sequence[profiles.Profile]:
    config = options.scheduler_config
    return profiles.parse(json.loads(config)) if config else profiles.DEFAULT
