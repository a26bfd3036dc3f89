"""How many pods each ReplicaSet of a Deployment may have now: the arithmetic of rolling update and proportional
scaling. Pure; sizes come as `Sized`, so that a whole rollout can be played through without objects.

Always true, as long as pods do not fail by themselves:
  ready pods    >= replicas - maxUnavailable   (only unavailable or surplus old pods are taken away)
  pods in total <= replicas + maxSurge
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace


class Sized(Struct, frozen=True):
    """One ReplicaSet: pods asked for, pods available, and the order in which it was created."""

    name: str
    replicas: int
    available: int
    created: float = 0.0
    max_replicas: int | None = None
    """The max-replicas annotation: the Deployment's replicas + maxSurge when this size was written."""


class Bounds(Struct, frozen=True):
    """`surge` and `unavailable` are pods, not percentages; both 0 only for strategy Recreate."""

    replicas: int
    surge: int
    unavailable: int

    @property
    def total_max(self) -> int:
        return self.replicas + self.surge

    @property
    def available_min(self) -> int:
        return max(self.replicas - self.unavailable, 0)


def new_size(bounds: Bounds, new: Sized, total: int) -> int:
    """The size of the new ReplicaSet when all together ask for `total` pods."""
    if new.replicas > bounds.replicas:
        return bounds.replicas
    room = bounds.total_max - total
    if room <= 0:
        return new.replicas
    return new.replicas + min(room, bounds.replicas - new.replicas)


def old_sizes(bounds: Bounds, new: Sized, old: Sequence[Sized]) -> dict[str, int]:
    """New sizes of the old ReplicaSets that shrink: first pods that are not available, then as many others as
    available pods exceed the minimum."""
    asked_old = sum(one.replicas for one in old)
    if asked_old == 0:
        return {}
    # New pods that are not available yet count as unavailable; old ones may fill only what is left of the allowance.
    not_yet = max(new.replicas - new.available, 0)
    may_go = asked_old + new.replicas - bounds.available_min - not_yet
    if may_go <= 0:
        return {}
    by_age = sorted(old, key=lambda one: (one.created, one.name))
    cleaned = _shrink(by_age, may_go, lambda one: max(one.replicas - one.available, 0))
    remaining = [replace(one, replicas=cleaned.get(one.name, one.replicas)) for one in by_age]
    surplus = sum(one.available for one in old) + new.available - bounds.available_min
    return cleaned | _shrink(remaining, surplus, lambda one: one.replicas)


def _shrink(sets: Sequence[Sized], budget: int, give: Callable[[Sized], int]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for one in sets:
        take = min(budget, give(one), one.replicas)
        if take > 0:
            sizes[one.name] = one.replicas - take
            budget -= take
    return sizes


def proportional(bounds: Bounds, sets: Sequence[Sized], status_replicas: int) -> dict[str, int]:
    """Spread a change of `replicas` in the middle of a rollout over all active ReplicaSets by their share.

    What rounding leaves over goes to the biggest; of equals the newest grows first and the oldest shrinks first.
    """
    total = sum(one.replicas for one in sets)
    allowed = bounds.total_max if bounds.replicas > 0 else 0
    change = allowed - total
    if change > 0:
        order = sorted(sets, key=lambda one: (-one.replicas, -one.created, one.name))
    else:
        order = sorted(sets, key=lambda one: (-one.replicas, one.created, one.name))
    sizes: dict[str, int] = {}
    given = 0
    for one in order:
        share = _share(one, bounds, change, given, status_replicas)
        sizes[one.name] = one.replicas + share
        given += share
    if change and order:
        first = order[0].name
        sizes[first] = max(sizes[first] + change - given, 0)
    return sizes


def _share(one: Sized, bounds: Bounds, change: int, given: int, status_replicas: int) -> int:
    left = change - given
    if one.replicas == 0 or change == 0 or left == 0:
        return 0
    if bounds.replicas == 0:
        fraction = -one.replicas
    else:
        # Without the annotation the Deployment's own status says how many pods the old size was a part of.
        before = one.max_replicas or status_replicas
        if before == 0:
            return 0
        fraction = _round_half_up(one.replicas * bounds.total_max, before) - one.replicas
    return min(fraction, left) if change > 0 else max(fraction, left)


def _round_half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
