"""The arithmetic of rollouts, played against pods that become ready and vanish whenever they like."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from wherry.controllers.deployment.sizes import Bounds, Sized, new_size, old_sizes, proportional


@settings(max_examples=300, deadline=None)
@given(
    replicas=st.integers(1, 12),
    surge=st.integers(0, 6),
    unavailable=st.integers(0, 6),
    data=st.data(),
)
def test_a_rollout_keeps_its_bounds_and_ends(replicas: int, surge: int, unavailable: int, data: st.DataObject) -> None:
    unavailable = min(unavailable, replicas)
    if surge == unavailable == 0:
        unavailable = 1
    bounds = Bounds(replicas, surge, unavailable)
    olds = [Sized("old", replicas, replicas)]
    new = Sized("new", 0, 0, 1.0)
    for _ in range(200):
        total = new.replicas + sum(one.replicas for one in olds)
        new = replace(new, replicas=new_size(bounds, new, total))
        sizes = old_sizes(bounds, new, olds)
        olds = [
            replace(one, replicas=size, available=min(one.available, size))
            for one in olds
            for size in [sizes.get(one.name, one.replicas)]
        ]
        # What the rollout itself takes away never goes below the bound; pods that are not ready yet do not count.
        assert new.available + sum(one.available for one in olds) >= bounds.available_min
        assert new.replicas + sum(one.replicas for one in olds) <= bounds.total_max
        if new.replicas == replicas and new.available == replicas and not any(one.replicas for one in olds):
            return
        waiting = new.replicas - new.available
        new = replace(new, available=new.available + (data.draw(st.integers(1, waiting)) if waiting else 0))
    raise AssertionError("the rollout does not end")


def test_unavailable_old_pods_go_first_whatever_the_order_of_age() -> None:
    bounds = Bounds(10, 0, 2)
    old = [Sized("older", 5, 5, 1.0), Sized("broken", 5, 0, 2.0)]
    assert old_sizes(bounds, Sized("new", 0, 0, 3.0), old)["broken"] < 5


def test_the_documented_example_of_proportional_scaling() -> None:
    bounds = Bounds(15, 3, 2)
    sets = [Sized("old", 8, 8, 1.0, 13), Sized("new", 5, 0, 2.0, 13)]
    assert proportional(bounds, sets, 13) == {"old": 11, "new": 7}


@given(
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=6),
    replicas=st.integers(0, 80),
    surge=st.integers(0, 10),
)
def test_proportional_scaling_reaches_exactly_what_is_allowed(sizes: list[int], replicas: int, surge: int) -> None:
    bounds = Bounds(replicas, surge, 1)
    sets = [Sized(str(number), size, size, number, sum(sizes)) for number, size in enumerate(sizes)]
    result = proportional(bounds, sets, sum(sizes))
    assert all(size >= 0 for size in result.values())
    assert sum(result.values()) == (bounds.total_max if replicas else 0)
