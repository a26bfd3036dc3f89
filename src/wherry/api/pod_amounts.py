"""What a whole pod asks for, or may take at most, of each resource: what quotas and limit ranges count. Pure.

Containers run together; init containers one after the other, beside the sidecars started before them; the larger of both
counts. Resources of the pod itself replace the sum. Source: "Pod Overhead", "Sidecar Containers", "Resource sharing within init
containers".
"""

from __future__ import annotations

from wherry.api.quantity import Quantity
from wherry.api.types import Obj


def pod_amounts(spec: Obj, side: str, *, overhead: bool = True) -> dict[str, Quantity]:
    """`side`: requests or limits. Overhead counts where there is an amount to add it to."""
    total: dict[str, Quantity] = {}
    for container in spec.get("containers") or ():
        _add(total, _of(container, side))
    sidecars: dict[str, Quantity] = {}
    peak: dict[str, Quantity] = {}
    for container in spec.get("initContainers") or ():
        own = _of(container, side)
        if container.get("restartPolicy") == "Always":
            _add(total, own)
            _add(sidecars, own)
            moment = sidecars
        else:
            moment = dict(sidecars)
            _add(moment, own)
        _raise(peak, moment)
    _raise(total, peak)
    total.update(_of(spec, side))
    for name, amount in (spec.get("overhead") or {}).items() if overhead else ():
        if side == "requests" or name in total:
            _add(total, {name: Quantity.parse(amount)})
    return total


def _of(holder: Obj, side: str) -> dict[str, Quantity]:
    stated = (holder.get("resources") or {}).get(side) or {}
    return {name: Quantity.parse(value) for name, value in stated.items()}


def _add(total: dict[str, Quantity], more: dict[str, Quantity]) -> None:
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount


def _raise(total: dict[str, Quantity], least: dict[str, Quantity]) -> None:
    for name, amount in least.items():
        total[name] = max(total[name], amount) if name in total else amount
