"""Rows of what makes pods: deployments, replica sets, stateful and daemon sets, jobs, autoscalers."""

from __future__ import annotations

from typing import Any

from wherry.aio.clock import parse_rfc3339
from wherry.api.types import Obj
from wherry.apiserver.printers.form import (
    NONE,
    UNKNOWN,
    Printer,
    age,
    boolean,
    columns,
    condition,
    containers,
    first_of,
    human_duration,
    labels_text,
    name,
    or_none,
    or_unset,
    selector_text,
    since,
    spec,
    status,
    template,
)

METRICS_SHOWN = 2  # an autoscaler's cell would grow too wide


def deployment(obj: Obj, now: float) -> list[Any]:
    counts = status(obj)
    return [
        name(obj),
        f"{counts.get('readyReplicas', 0)}/{spec(obj).get('replicas', 0)}",
        counts.get("updatedReplicas", 0),
        counts.get("availableReplicas", 0),
        age(obj, now),
        *containers(template(obj)),
        selector_text(spec(obj).get("selector")),
    ]


def replica_set(obj: Obj, now: float) -> list[Any]:
    return [*_replicas(obj, now), selector_text(spec(obj).get("selector"))]


def replication_controller(obj: Obj, now: float) -> list[Any]:
    return [*_replicas(obj, now), labels_text(spec(obj).get("selector"))]


def _replicas(obj: Obj, now: float) -> list[Any]:
    counts = status(obj)
    return [
        name(obj),
        spec(obj).get("replicas", 0),
        counts.get("replicas", 0),
        counts.get("readyReplicas", 0),
        age(obj, now),
        *containers(template(obj)),
    ]


def stateful_set(obj: Obj, now: float) -> list[Any]:
    ready = f"{status(obj).get('readyReplicas', 0)}/{spec(obj).get('replicas', 0)}"
    return [name(obj), ready, age(obj, now), *containers(template(obj))]


def daemon_set(obj: Obj, now: float) -> list[Any]:
    counts = status(obj)
    return [
        name(obj),
        counts.get("desiredNumberScheduled", 0),
        counts.get("currentNumberScheduled", 0),
        counts.get("numberReady", 0),
        counts.get("updatedNumberScheduled", 0),
        counts.get("numberAvailable", 0),
        labels_text(template(obj).get("nodeSelector")),
        age(obj, now),
        *containers(template(obj)),
        selector_text(spec(obj).get("selector")),
    ]


def job(obj: Obj, now: float) -> list[Any]:
    return [
        name(obj),
        _job_status(obj),
        _completions(obj),
        _job_duration(obj, now),
        age(obj, now),
        *containers(template(obj)),
        selector_text(spec(obj).get("selector")),
    ]


def _job_status(obj: Obj) -> str:
    def holds(type: str) -> bool:
        return (condition(obj, type) or {}).get("status") == "True"

    for type in ("Complete", "Failed"):
        if holds(type):
            return type
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return next((type for type in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if holds(type)), "Running")


def _completions(obj: Obj) -> str:
    (wanted, done) = (spec(obj).get("completions"), status(obj).get("succeeded", 0))
    if wanted is not None:
        return f"{done}/{wanted}"
    parallelism = spec(obj).get("parallelism") or 0
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _job_duration(obj: Obj, now: float) -> str:
    (start, end) = (status(obj).get("startTime"), status(obj).get("completionTime"))
    if not start:
        return ""
    return human_duration((parse_rfc3339(end) if end else now) - parse_rfc3339(start))


def cron_job(obj: Obj, now: float) -> list[Any]:
    last = status(obj).get("lastScheduleTime")
    job_spec = (spec(obj).get("jobTemplate") or {}).get("spec") or {}
    return [
        name(obj),
        spec(obj).get("schedule", ""),
        or_none(spec(obj).get("timeZone")),
        boolean(spec(obj).get("suspend")),
        len(status(obj).get("active") or []),
        since(last, now) if last else NONE,
        age(obj, now),
        *containers((job_spec.get("template") or {}).get("spec") or {}),
        selector_text(job_spec.get("selector")),
    ]


def controller_revision(obj: Obj, now: float) -> list[Any]:
    owner = next((ref for ref in obj["metadata"].get("ownerReferences") or [] if ref.get("controller")), None)
    controller = NONE
    if owner is not None:
        group = owner["apiVersion"].rpartition("/")[0]
        kind = owner["kind"].lower()
        controller = f"{kind}.{group}/{owner['name']}" if group else f"{kind}/{owner['name']}"
    return [name(obj), controller, obj.get("revision", 0), age(obj, now)]


def pod_template(obj: Obj, now: float) -> list[Any]:
    body = obj.get("template") or {}
    labels = (body.get("metadata") or {}).get("labels")
    return [name(obj), *containers(body.get("spec") or {}), labels_text(labels)]


def autoscaler(obj: Obj, now: float) -> list[Any]:
    target = spec(obj).get("scaleTargetRef") or {}
    return [
        name(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        first_of(_metrics(obj), NONE, METRICS_SHOWN),
        or_unset(spec(obj).get("minReplicas")),
        spec(obj).get("maxReplicas", 0),
        status(obj).get("currentReplicas", 0),
        age(obj, now),
    ]


def _metrics(obj: Obj) -> list[str]:
    if obj["apiVersion"].endswith("/v1"):
        wanted = spec(obj).get("targetCPUUtilizationPercentage")
        current = status(obj).get("currentCPUUtilizationPercentage")
        return [f"cpu: {_percent(current, UNKNOWN)}/{wanted}%"] if wanted is not None else []
    measured = status(obj).get("currentMetrics") or []
    return [
        _metric(metric, measured[index] if index < len(measured) else {})
        for index, metric in enumerate(spec(obj).get("metrics") or [])
    ]


def _metric(metric: Obj, measured: Obj) -> str:
    kind = metric.get("type", "")
    field = kind[:1].lower() + kind[1:]
    source = metric.get(field) or {}
    target = source.get("target") or {}
    current = (measured.get(field) or {}).get("current") or {}
    if kind in ("Resource", "ContainerResource"):
        label = f"{source.get('name', '')}: "
        if "averageValue" in target:
            return f"{label}{current.get('averageValue', UNKNOWN)}/{target['averageValue']}"
        now = _percent(current.get("averageUtilization"), UNKNOWN)
        return f"{label}{now}/{_percent(target.get('averageUtilization'), '<auto>')}"
    if kind == "Pods":
        return f"{current.get('averageValue', UNKNOWN)}/{target.get('averageValue', '')}"
    if "averageValue" in target:
        return f"{current.get('averageValue', UNKNOWN)}/{target['averageValue']} (avg)"
    return f"{current.get('value', UNKNOWN)}/{target.get('value', '')}"


def _percent(value: int | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value}%"


_REPLICAS = "Name|Desired:i|Current:i|Ready:i|Age|+Containers|+Images|+Selector"
PRINTERS = {
    "apps/deployments": Printer(
        columns("Name|Ready|Up-to-date|Available|Age|+Containers|+Images|+Selector"), deployment
    ),
    "apps/replicasets": Printer(columns(_REPLICAS), replica_set),
    "/replicationcontrollers": Printer(columns(_REPLICAS), replication_controller),
    "apps/statefulsets": Printer(columns("Name|Ready|Age|+Containers|+Images"), stateful_set),
    "apps/daemonsets": Printer(
        columns(
            "Name|Desired:i|Current:i|Ready:i|Up-to-date:i|Available:i|Node Selector|Age|+Containers|+Images|+Selector"
        ),
        daemon_set,
    ),
    "apps/controllerrevisions": Printer(columns("Name|Controller|Revision|Age"), controller_revision),
    "batch/jobs": Printer(columns("Name|Status|Completions|Duration|Age|+Containers|+Images|+Selector"), job),
    "batch/cronjobs": Printer(
        columns("Name|Schedule|Timezone|Suspend:b|Active:i|Last Schedule|Age|+Containers|+Images|+Selector"), cron_job
    ),
    "/podtemplates": Printer(columns("Name|Containers|Images|Pod Labels"), pod_template),
    "autoscaling/horizontalpodautoscalers": Printer(
        columns("Name|Reference|Targets|MinPods|MaxPods|Replicas|Age"), autoscaler
    ),
}
