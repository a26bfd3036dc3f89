"""The objects that simulated users make: small, so that all of them fit into the pretended nodes."""

from __future__ import annotations

import random
from typing import Any

from wherry.api import resources
from wherry.api.types import GVR, Obj
from wherry.kubelet.simulated.script import PREFIX

KINDS: dict[str, GVR] = {
    "Deployment": resources.DEPLOYMENTS,
    "StatefulSet": resources.STATEFUL_SETS,
    "DaemonSet": resources.DAEMON_SETS,
    "ReplicaSet": resources.REPLICA_SETS,
    "Job": resources.JOBS,
    "CronJob": resources.CRON_JOBS,
    "Service": resources.SERVICES,
    "PodDisruptionBudget": resources.POD_DISRUPTION_BUDGETS,
    "ResourceQuota": resources.RESOURCE_QUOTAS,
    "ConfigMap": resources.CONFIG_MAPS,
    "Namespace": resources.NAMESPACES,
    "Pod": resources.PODS,
    "Node": resources.NODES,
}
REPLICAS_MAX = 5
RUNS_FOREVER = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")

BUDGETS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("minAvailable", (1, 2, 3, "50%", "80%")),
    ("maxUnavailable", (0, 1, "20%")),
)


def manifest(kind: str, namespace: str, name: str, number: int, seed: int) -> Obj:
    """What `create` sends. `number` is how many; everything else is left to `seed`."""
    rng = random.Random(seed)
    metadata: Obj = {"name": name}
    if kind != "Namespace":
        metadata["namespace"] = namespace
    obj: Obj = {"apiVersion": KINDS[kind].api_version, "kind": kind, "metadata": metadata}
    if kind in RUNS_FOREVER:
        labels = {"app": name}
        obj["spec"] = {"selector": {"matchLabels": labels}, "template": template(rng, labels)}
        if kind != "DaemonSet":
            obj["spec"]["replicas"] = number
        _strategy(kind, obj["spec"], rng)
    elif kind == "Job":
        obj["spec"] = _job(rng, name)
    elif kind == "CronJob":
        obj["spec"] = {
            "schedule": "* * * * *",
            "concurrencyPolicy": rng.choice(["Allow", "Forbid", "Replace"]),
            "jobTemplate": {"spec": _job(rng, name, ttl=False)},
        }
    elif kind == "Service":
        obj["spec"] = {
            "selector": {"app": name},
            "ports": [{"port": 80}],
            "type": rng.choice(["ClusterIP", "NodePort"]),
        }
    elif kind == "PodDisruptionBudget":
        field, amounts = rng.choice(BUDGETS)
        obj["spec"] = {"selector": {"matchLabels": {"app": name}}, field: rng.choice(amounts)}
    elif kind == "ResourceQuota":
        obj["spec"] = {"hard": {"pods": str(number), "count/configmaps": str(number + 2)}}
    elif kind == "ConfigMap":
        obj["data"] = {"count": "0"}
    return obj


def template(rng: random.Random, labels: Obj, *, ends: bool = False) -> Obj:
    """Of a pod: its container is small and its part is short."""
    said: dict[str, str] = {}
    if rng.random() < 0.5:
        said["start-after"] = f"{rng.choice([100, 500, 2000])}ms"
    if rng.random() < 0.5:
        said["ready-after"] = f"{rng.choice([100, 500, 3000])}ms"
    if rng.random() < 0.5:
        said["stop-after"] = f"{rng.choice([100, 1000, 4000])}ms"
    if ends:
        said["run-for"] = f"{rng.choice([500, 2000, 8000])}ms"
        said["exit-code"] = rng.choice(["0", "0", "0", "1"])
    spec: Obj = {
        "terminationGracePeriodSeconds": rng.choice([1, 5]),
        "containers": [{"name": "main", "image": "app:v1", "resources": {"requests": {"cpu": "100m"}}}],
    }
    if ends:
        spec["restartPolicy"] = "Never"
    return {"metadata": {"labels": labels, "annotations": {PREFIX + key: said[key] for key in said}}, "spec": spec}


def _job(rng: random.Random, name: str, *, ttl: bool = True) -> Obj:
    spec: Obj = {
        "parallelism": rng.randint(1, 3),
        "completions": rng.randint(1, 4),
        "backoffLimit": rng.randint(0, 2),
        "template": template(rng, {"job": name}, ends=True),
    }
    if ttl and rng.random() < 0.5:
        spec["ttlSecondsAfterFinished"] = rng.choice([0, 10, 30])
    return spec


def _strategy(kind: str, spec: Obj, rng: random.Random) -> None:
    if rng.random() < 0.3 and kind != "ReplicaSet":
        spec["minReadySeconds"] = rng.choice([1, 3])
    if kind == "Deployment":
        if rng.random() < 0.15:
            spec["strategy"] = {"type": "Recreate"}
        else:
            surge = rng.choice([0, 1, "25%", "50%"])
            spare = rng.choice([1, "25%", "50%"]) if surge == 0 else rng.choice([0, 1, "25%"])
            spec["strategy"] = {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": spare}}
    elif kind == "StatefulSet":
        spec["podManagementPolicy"] = rng.choice(["OrderedReady", "Parallel"])
        spec["serviceName"] = "none"
    elif kind == "DaemonSet":
        surge = rng.choice([0, 0, 1])
        spec["updateStrategy"] = {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": 0 if surge else 1}}
