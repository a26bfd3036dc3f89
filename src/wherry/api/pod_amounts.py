"""What a whole pod asks for, or may take at most, of each resource: what quotas, limit ranges and the scheduler count.
Pure.

Containers run together; init containers one after the other, beside the sidecars started before them; the larger of both
counts. Resources of the pod itself replace the sum. Source: "Pod Overhead", "Sidecar Containers", "Resource sharing within init
containers".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from wherry.api.quantity import Quantity
from wherry.api.types import Obj

Amount = TypeVar("Amount", int, Quantity)


def pod_amounts(spec: Obj, side: str, *, overhead: bool = True) -> dict[str, Quantity]:
    """`side`: requests or limits. Overhead counts where there is an amount to add it to."""
    total = together(spec, lambda container: _of(container, side))
    total.update(_of(spec, side))
    for name, amount in (spec.get("overhead") or {}).items() if overhead else ():
        if side == "requests" or name in total:
            _add(total, {name: Quantity.parse(amount)})
    return total


def together(spec: Obj, own: Callable[[Obj], dict[str, Amount]]) -> dict[str, Amount]:
    """What the containers need at their busiest moment, without what the pod itself says; `own` reads one container's."""
    total: dict[str, Amount] = {}
    for container in spec.get("containers") or ():
        _add(total, own(container))
    sidecars: dict[str, Amount] = {}
    peak: dict[str, Amount] = {}
    for container in spec.get("initContainers") or ():
        amounts = own(container)
        if container.get("restartPolicy") == "Always":
            _add(total, amounts)
            _add(sidecars, amounts)
            moment = sidecars
        else:
            moment = dict(sidecars)
            _add(moment, amounts)
        _raise(peak, moment)
    _raise(total, peak)
    return total


def _of(holder: Obj, side: str) -> dict[str, Quantity]:
    stated = (holder.get("resources") or {}).get(side) or {}
    return {name: Quantity.parse(value) for name, value in stated.items()}


def _add(total: dict[str, Amount], more: dict[str, Amount]) -> None:
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount


def _raise(total: dict[str, Amount], least: dict[str, Amount]) -> None:
    for name, amount in least.items():
        total[name] = max(total[name], amount) if name in total else amount
