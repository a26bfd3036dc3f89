"""Requests and limits: what they are in numbers, and which quality-of-service class they put a pod in. Pure.

QoS: kubernetes.io "Pod Quality of Service Classes"; oom_score_adj: "Node-pressure Eviction", node out of memory behaviour.
"""

from __future__ import annotations

from wherry.api.quantity import Quantity
from wherry.api.types import Obj
from wherry.cri.interface import Resources
from wherry.kubelet import pod_spec


def quantity(text: object) -> Quantity:
    return Quantity.parse(str(text))


def milli_cpu(text: object) -> int:
    return int(quantity(text).milli_value())


def size_bytes(text: object) -> int:
    return int(quantity(text).value())


def qos_class(pod: Obj) -> str:
    """`Guaranteed`, `Burstable` or `BestEffort`, from cpu and memory of all containers."""
    guaranteed, anything = True, False
    for container in (*pod_spec.init_containers(pod), *pod_spec.containers(pod)):
        resources = container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in ("cpu", "memory"):
            limit, request = _positive(limits.get(name)), _positive(requests.get(name))
            anything = anything or limit is not None or request is not None
            if limit is None or (request is not None and request != limit):
                guaranteed = False
    if not anything:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _positive(text: object) -> int | None:
    if text is None:
        return None
    return milli_cpu(text) or None


def container_resources(container: Obj) -> Resources:
    """CRI resources of one container; a request defaults to its limit, as the API server does too."""
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    cpu_limit = milli_cpu(limits["cpu"]) if "cpu" in limits else None
    cpu_request = milli_cpu(requests["cpu"]) if "cpu" in requests else cpu_limit
    memory_limit = size_bytes(limits["memory"]) if "memory" in limits else None
    return Resources(cpu_request=cpu_request, cpu_limit=cpu_limit or None, memory_limit=memory_limit or None)


def pod_resources(pod: Obj) -> Resources:
    """Limits of the whole pod: a sum where every container has one, else none; pod-level `spec.resources` wins."""
    if pod["spec"].get("resources"):
        return container_resources(pod["spec"])
    each = [container_resources(container) for container in pod_spec.containers(pod)]
    each += [container_resources(container) for container in pod_spec.sidecars(pod)]
    starting = [container_resources(container) for container in pod_spec.init_containers(pod)]
    cpu_limits = [one.cpu_limit for one in each]
    memory_limits = [one.memory_limit for one in each]
    cpu = sum(limit or 0 for limit in cpu_limits) if all(cpu_limits) else None
    memory = sum(limit or 0 for limit in memory_limits) if all(memory_limits) else None
    if any(one.cpu_limit is None for one in starting):
        cpu = None
    if any(one.memory_limit is None for one in starting):
        memory = None
    return Resources(
        cpu_request=sum(one.cpu_request or 0 for one in each) or None,
        cpu_limit=max([cpu, *(one.cpu_limit or 0 for one in starting)]) if cpu is not None else None,
        memory_limit=max([memory, *(one.memory_limit or 0 for one in starting)]) if memory is not None else None,
    )


def oom_score_adjustment(pod: Obj, container: Obj, memory_capacity: int) -> int:
    """-997 for Guaranteed, 1000 for BestEffort, in between by the share of memory requested."""
    kind = qos_class(pod)
    if kind == "Guaranteed":
        return -997
    if kind == "BestEffort":
        return 1000
    request = size_bytes((container.get("resources") or {}).get("requests", {}).get("memory", 0))
    return min(max(2, 1000 - (1000 * request) // max(memory_capacity, 1)), 999)
