"""What is kept from one look to the next is what counting everything anew gives."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wherry.api.quantity import Quantity
from wherry.api.quota_tally import QuotaTally
from wherry.api.quota_usage import ZERO
from wherry.api.types import Obj

SPEC = {"hard": {"pods": "9", "requests.cpu": "9", "count/pods": "9"}, "scopes": ["NotBestEffort"]}


def a_pod(number: int, cpu: str, phase: str) -> Obj:
    resources: Any = {"requests": {"cpu": cpu}} if cpu else {}
    spec = {"containers": [{"name": "c", "resources": resources}]}
    return {"metadata": {"name": f"p{number}", "uid": f"u{number}"}, "spec": spec, "status": {"phase": phase}}


LOOKS = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["", "1", "250m"]), st.sampled_from(["Running", "Failed"]))),
    max_size=8,
)


@given(LOOKS)
def test_kept_is_counted_anew(looks: list[list[tuple[int, str, str]]]) -> None:
    kept = QuotaTally(SPEC, "", "pods")
    there: dict[str, Obj] = {}
    for look in looks:
        now = {}
        for number, cpu, phase in look:
            pod = a_pod(number, cpu, phase)
            same = there.get(pod["metadata"]["uid"])
            now[pod["metadata"]["uid"]] = same if same == pod else pod
        there = {uid: pod for uid, pod in now.items() if pod is not None}
        kept.update(list(there.values()))
        anew = QuotaTally(SPEC, "", "pods")
        anew.update(list(there.values()))
        assert {key: one for key, one in kept.sums.items() if one > ZERO} == anew.sums
        for uid, pod in there.items():
            assert kept.known(uid) == kept.of(pod)


def test_what_takes_what() -> None:
    tally = QuotaTally(SPEC, "", "pods")
    tally.update([a_pod(1, "250m", "Running"), a_pod(2, "1", "Running"), a_pod(3, "", "Running")])
    assert tally.sums["requests.cpu"] == Quantity.parse("1250m")
    assert tally.sums["pods"] == Quantity.parse("2")  # the third is of another scope
    assert tally.known("u9") == {}
