"""What becomes of a ServiceCIDR: ready, held while an address needs it, free after its grace."""

from __future__ import annotations

from typing import Any

from wherry.aio.clock import rfc3339
from wherry.api.types import Obj
from wherry.controllers.service_cidr import FINALIZER, Plan, is_needed, plan, with_ready

NOW = 1_800_000_000.0
HELD = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"


def cidr(name: str, *ranges: str, **metadata: Any) -> Obj:
    return {"metadata": {"name": name, **metadata}, "spec": {"cidrs": list(ranges)}}


def address(name: str, manager: str = "ipallocator.k8s.io") -> Obj:
    return {"metadata": {"name": name, "labels": {"ipaddress.kubernetes.io/managed-by": manager}}}


def ready(obj: Obj) -> Obj:
    return {**obj, "status": with_ready({}, ("True", "", "Kubernetes Service CIDR is ready"), rfc3339(NOW))}


def test_a_new_one_is_made_ready_and_held() -> None:
    new = cidr("more", "10.97.0.0/24")
    wanted = ("True", "", "Kubernetes Service CIDR is ready")
    assert plan(new, [], [], NOW) == Plan(True, wanted)
    assert plan(ready(cidr("more", "10.97.0.0/24", finalizers=[FINALIZER])), [], [], NOW) == Plan()


def test_it_goes_after_its_grace_when_nothing_needs_it() -> None:
    going = ready(cidr("more", "10.97.0.0/24", finalizers=["a/b", FINALIZER], deletionTimestamp=rfc3339(NOW)))
    assert plan(going, [], [address("10.97.0.9")], NOW + 60) == Plan(ready=("False", "Terminating", HELD))
    assert plan(going, [], [address("10.98.0.9")], NOW + 4) == Plan(again_in=6.0)
    assert plan(going, [], [], NOW + 10) == Plan(holds=False)
    assert plan(cidr("more", "10.97.0.0/24", deletionTimestamp=rfc3339(NOW)), [], [], NOW) == Plan()


def test_who_is_needed() -> None:
    mine, used = cidr("mine", "10.97.0.0/24"), [address("10.97.0.9")]
    assert is_needed(mine, [], used)
    assert is_needed(mine, [cidr("beside", "10.98.0.0/24", "fd00::/64")], used)
    assert not is_needed(mine, [cidr("around", "10.0.0.0/8")], used)
    assert not is_needed(mine, [cidr("same", "10.97.0.0/24")], used)
    assert not is_needed(mine, [cidr("inside", "10.97.0.8/29")], used), "the address has another home"
    assert not is_needed(mine, [], [address("10.97.0.9", "somebody.example")])
    assert is_needed(cidr("six", "fd00::/64"), [], [address("fd00::1")])


def test_the_time_of_the_condition_stays_while_its_status_does() -> None:
    first = with_ready({}, ("True", "", "a"), "2026-01-01T00:00:00Z")
    other = {"type": "Other", "status": "True"}
    same = with_ready({"conditions": [other, *first["conditions"]]}, ("True", "", "b"), "2026-01-02T00:00:00Z")
    assert [each["type"] for each in same["conditions"]] == ["Other", "Ready"]
    assert same["conditions"][1]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    turned = with_ready(same, ("False", "Terminating", HELD), "2026-01-02T00:00:00Z")
    assert turned["conditions"][1]["lastTransitionTime"] == "2026-01-02T00:00:00Z"
