"""What a pod asks of a node: amounts as whole numbers (cpu in thousandths of a core, all else in its own unit).

The rules are `api.pod_amounts`'; here are the numbers, which are compared for every pod and node.
"""

from __future__ import annotations

from functools import lru_cache

from wherry.api.pod_amounts import together
from wherry.api.quantity import Quantity
from wherry.api.types import Obj

Amounts = dict[str, int]

UNSTATED_MILLI_CPU = 100
UNSTATED_MEMORY_BYTES = 200 * 1024 * 1024
"""What a container that states nothing counts for in scoring (never in filtering), as in kube-scheduler."""


@lru_cache(maxsize=4096)  # the distinct texts in a cluster's manifests are few
def _amount(resource: str, text: str) -> int:
    quantity = Quantity.parse(text)
    return quantity.milli_value() if resource == "cpu" else quantity.value()


def amounts(stated: Obj | None) -> Amounts:
    """A ResourceList as numbers."""
    return {key: _amount(key, str(value)) for key, value in (stated or {}).items()}


def add(total: Amounts, more: Amounts) -> None:
    for key, value in more.items():
        total[key] = total.get(key, 0) + value


def pod_requests(pod: Obj, *, scoring: bool = False) -> Amounts:
    """The effective request; for `scoring` containers that state no cpu or memory count with a small default."""
    spec = pod["spec"]
    total = together(spec, lambda container: _container(container, scoring))
    whole = spec.get("resources") or {}
    total.update(amounts(whole.get("requests")))
    add(total, amounts(spec.get("overhead")))
    return total


def _container(container: Obj, scoring: bool) -> Amounts:
    own = amounts((container.get("resources") or {}).get("requests"))
    if scoring:
        own.setdefault("cpu", UNSTATED_MILLI_CPU)
        own.setdefault("memory", UNSTATED_MEMORY_BYTES)
    return own
