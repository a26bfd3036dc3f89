"""Reads what pods use and works out, metric by metric, how many there should be; the largest number counts.

Resource metrics come from metrics.k8s.io, the others from where `custom.py` says.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from wherry.aio.clock import Clock
from wherry.api.errors import StatusError
from wherry.api.quantity import Quantity
from wherry.api.resources import POD_METRICS
from wherry.api.types import Obj
from wherry.client.rest import Client
from wherry.controllers.horizontal_pod_autoscaler import custom
from wherry.controllers.horizontal_pod_autoscaler.usage import (
    Count,
    NoReplicaCount,
    Tolerance,
    amount,
    average_replicas,
    samples,
    utilization_replicas,
)


class Asked(Struct, frozen=True):
    """For whom: the pods a scale's selector means, how many replicas it asks for (`current`) and says it has (`seen`)."""

    namespace: str
    selector: str
    pods: list[Obj]
    current: int
    seen: int
    tolerance: Tolerance


class Measured(Struct):
    """`name` of the metric that asks for most, "" if none could be read; `failures` (reason, message) of those that
    could not, `invalid` what that means for all of them together."""

    replicas: int = 0
    name: str = ""
    statuses: list[Obj] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    invalid: str = ""


class Metrics:
    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def measure(self, specs: Iterable[Obj], asked: Asked) -> Measured:
        """One list of pod metrics serves all the specs."""
        result = Measured()
        specs = list(specs)
        items: list[Obj] | None = None
        problem = ""
        if any(spec["type"] in ("Resource", "ContainerResource") for spec in specs):
            try:
                items = (await self._client.list(POD_METRICS, asked.namespace, labels=asked.selector))["items"]
            except (StatusError, ConnectionError) as error:
                problem = f"unable to fetch metrics from resource metrics API: {error}"
        for spec in specs:
            try:
                if spec["type"] in ("Resource", "ContainerResource"):
                    count, name, status = self._one(spec, asked, items, problem)
                else:
                    count, name, status = await self._custom(spec, asked)
            except NoReplicaCount as error:
                if not result.failures:
                    result.invalid = f"first error is: failed to get {_what(spec)}: {error}"
                result.failures.append((_REASONS[spec["type"]], str(error)))
                continue
            result.statuses.append(status)
            if not result.name or count.replicas > result.replicas:
                result.replicas, result.name = count.replicas, name
        if result.failures:
            result.invalid = f"invalid metrics ({len(result.failures)} invalid out of {len(specs)}), {result.invalid}"
        return result

    def _one(self, spec: Obj, asked: Asked, items: list[Obj] | None, problem: str) -> tuple[Count, str, Obj]:
        kind = spec["type"]
        source = spec["resource" if kind == "Resource" else "containerResource"]
        resource, container = source["name"], source.get("container", "")
        target = source["target"]
        try:
            count = self._count(asked, items, problem, resource, container, target)
        except NoReplicaCount as error:
            what = "utilization" if target.get("averageUtilization") is not None else "usage"
            raise NoReplicaCount(f"failed to get {resource} {what}: {error}") from None
        name = f"{resource} resource"
        if target.get("averageUtilization") is not None:
            whose = "container resource" if container else "resource"
            name = f"{resource} {whose} utilization (percentage of request)"
        return count, name, _status(kind, resource, container, count)

    async def _custom(self, spec: Obj, asked: Asked) -> tuple[Count, str, Obj]:
        """Pods, Object and External."""
        kind = spec["type"]
        key = kind[0].lower() + kind[1:]
        source = spec[key]
        metric, target = source["metric"], source["target"]
        if kind == "Pods":
            count, name = await self._of_pods(metric, target, asked), f"pods metric {metric['name']}"
        else:
            count, name = await self._of_one(kind, source, asked)
        whole = {} if count.utilization is None else {"value": str(Quantity.from_milli(count.utilization))}
        current = whole or {"averageValue": str(Quantity.from_milli(count.average))}
        told: Obj = {"metric": metric, "current": current}
        if kind == "Object":
            told["describedObject"] = source["describedObject"]
        return count, name, {"type": kind, key: told}

    async def _of_pods(self, metric: Obj, target: Obj, asked: Asked) -> Count:
        found = await custom.of_pods(self._client, asked.namespace, asked.selector, metric)
        known = {pod["metadata"]["name"] for pod in asked.pods}
        found = {name: sample for name, sample in found.items() if name in known}
        wanted, now = custom.milli(target["averageValue"]), self._clock.time()
        return average_replicas(asked.pods, found, "", wanted, asked.current, asked.tolerance, now)

    async def _of_one(self, kind: str, source: Obj, asked: Asked) -> tuple[Count, str]:
        """A value that is not measured by pod: of an object, or from outside. `Count.utilization` is the value itself."""
        metric, target = source["metric"], source["target"]
        name = f"external metric {metric['name']}({custom.selector_text(metric.get('selector'))})"
        if kind == "Object":
            described = source["describedObject"]
            value = await custom.of_object(self._client, asked.namespace, described, metric)
        else:
            value = await custom.external(self._client, asked.namespace, metric)
        if target.get("averageValue") is not None:
            # Kubernetes calls an Object metric external here.
            average = custom.milli(target["averageValue"])
            return custom.for_average(value, average, asked.seen, asked.tolerance), name
        if kind == "Object":
            name = f"{described['kind']} metric {metric['name']}"
        wanted = custom.milli(target["value"])
        replicas = custom.for_value(value, wanted, asked.pods, asked.current, asked.tolerance)
        return Count(replicas, 0, value), name

    def _count(
        self, asked: Asked, items: list[Obj] | None, problem: str, resource: str, container: str, target: Obj
    ) -> Count:
        if items is None:
            raise NoReplicaCount(f"unable to get metrics for resource {resource}: {problem}")
        found = samples(items, resource, container)
        if not found:
            raise NoReplicaCount(
                f"unable to get metrics for resource {resource}: no metrics returned from resource metrics API"
            )
        known = {pod["metadata"]["name"] for pod in asked.pods}
        found = {name: sample for name, sample in found.items() if name in known}
        now = self._clock.time()
        percent = target.get("averageUtilization")
        if percent is not None:
            return utilization_replicas(
                asked.pods, found, resource, int(percent), asked.current, asked.tolerance, now, container
            )
        wanted = amount(resource, str(target["averageValue"]))
        return average_replicas(asked.pods, found, resource, wanted, asked.current, asked.tolerance, now)


def _what(spec: Obj) -> str:
    """The metric of a spec, in the sentence about all of them; that of a value from outside says it twice."""
    kind = spec["type"]
    if kind == "Resource":
        return f"{spec['resource']['name']} resource metric value"
    if kind == "ContainerResource":
        return f"{spec['containerResource']['container']} container metric value"
    if kind == "Pods":
        return "pods metric value"
    source = spec[kind.lower()]
    name, average = source["metric"]["name"], source["target"].get("averageValue") is not None
    if kind == "Object":
        return "object metric value" + (f": failed to get {name} object metric" if average else "")
    return f"{name} external metric value: failed to get " + (
        f"{name} external metric" if average else f"external metric {name}"
    )


_REASONS = {
    "Resource": "FailedGetResourceMetric",
    "ContainerResource": "FailedGetContainerResourceMetric",
    "Pods": "FailedGetPodsMetric",
    "Object": "FailedGetObjectMetric",
    "External": "FailedGetExternalMetric",
}


def _status(kind: str, resource: str, container: str, count: Count) -> Obj:
    average = Quantity.from_milli(count.average) if resource == "cpu" else Quantity.from_value(count.average)
    current: Obj = {"averageValue": str(average)}
    if count.utilization is not None:
        current["averageUtilization"] = count.utilization
    if kind == "Resource":
        return {"type": kind, "resource": {"name": resource, "current": current}}
    return {"type": kind, "containerResource": {"name": resource, "container": container, "current": current}}
