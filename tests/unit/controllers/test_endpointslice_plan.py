"""Slices stay right, small and few whatever comes and goes."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.api.types import Obj
from wherry.controllers.endpointslice.plan import MAX, Memory, Plan, plan


def a_service(**spec: Any) -> Obj:
    ports = [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "cart", "namespace": "shop", "uid": "s", "labels": {"team": "a"}},
        "spec": {"clusterIP": "10.96.0.9", "selector": {"app": "cart"}, "ports": ports, **spec},
    }


def a_pod(number: int, port: int = 8080, ready: bool = True, **more: Any) -> Obj:
    metadata = {"name": f"cart-{number}", "namespace": "shop", "uid": f"u{number}", "labels": {"app": "cart"}}
    container = {"name": "main", "ports": [{"name": "web", "containerPort": port}]}
    ip = f"10.244.{number // 250}.{number % 250 + 1}"
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    spec = {"nodeName": "n", "containers": [container], **more}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Running", "podIP": ip, "conditions": conditions}}


def apply(existing: dict[str, Obj], todo: Plan, counter: list[int]) -> None:
    for one in todo.create:
        counter[0] += 1
        name = f"cart-{counter[0]:05}"
        existing[name] = {**one, "metadata": {**one["metadata"], "name": name}}
    for one in todo.update:
        existing[one["metadata"]["name"]] = one
    for one in todo.delete:
        del existing[one["metadata"]["name"]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.integers(0, 400), st.sampled_from([8080, 9090]), max_size=300), max_size=5))
def test_any_history_of_pods(history: list[dict[int, int]]) -> None:
    existing: dict[str, Obj] = {}
    counter = [0]
    service = a_service()
    for pods in history:
        objects = [a_pod(number, port) for number, port in pods.items()]
        apply(existing, plan(service, objects, existing.values(), {}), counter)
        again = plan(service, objects, existing.values(), {})
        assert (again.create, again.update, again.delete) == ([], [], [])
        found = {}
        for one in existing.values():
            assert len(one["endpoints"]) <= MAX
            for endpoint in one["endpoints"]:
                name = endpoint["targetRef"]["name"]
                assert name not in found
                found[name] = one["ports"][0]["port"]
        assert found == {f"cart-{number}": port for number, port in pods.items()}


def test_no_pods_leave_one_empty_slice() -> None:
    todo = plan(a_service(), [], [], {})
    assert [one["endpoints"] for one in todo.create] == [[]]
    labels = todo.create[0]["metadata"]["labels"]
    assert labels == {
        "team": "a",
        "kubernetes.io/service-name": "cart",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }


def test_one_endpoint_that_changes_is_one_update() -> None:
    existing: dict[str, Obj] = {}
    pods = [a_pod(number) for number in range(250)]
    apply(existing, plan(a_service(), pods, [], {}), [0])
    pods[120] = a_pod(120, ready=False)
    todo = plan(a_service(), pods, existing.values(), {})
    assert (len(todo.create), len(todo.update), len(todo.delete)) == (0, 1, 0)


def test_conditions() -> None:
    going = a_pod(1)
    going["metadata"]["deletionTimestamp"] = "2026-11-21T08:00:00Z"
    unready = a_pod(2, ready=False)
    for service, expected in (
        (a_service(), {1: (False, True, True), 2: (False, False, False)}),
        (a_service(publishNotReadyAddresses=True), {1: (True, True, True), 2: (True, False, False)}),
    ):
        (one,) = plan(service, [going, unready], [], {}).create
        found = {}
        for endpoint in one["endpoints"]:
            values = endpoint["conditions"]
            found[int(endpoint["targetRef"]["name"][5:])] = (values["ready"], values["serving"], values["terminating"])
        assert found == expected


def test_headless_services_name_their_pods() -> None:
    pod = a_pod(1, hostname="nats-0", subdomain="cart")
    (one,) = plan(a_service(clusterIP="None"), [pod], [], {"n": "zone-a"}).create
    assert one["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert one["endpoints"][0]["hostname"] == "nats-0"
    assert one["endpoints"][0]["zone"] == "zone-a"


def test_finished_and_addressless_pods_are_none() -> None:
    finished = a_pod(1)
    finished["status"]["phase"] = "Succeeded"
    young = a_pod(2)
    del young["status"]["podIP"]
    (one,) = plan(a_service(), [finished, young], [], {}).create
    assert one["endpoints"] == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.integers(0, 6), st.tuples(st.booleans(), st.sampled_from([8080, 9090]))),
            st.sampled_from(["a", "b"]),
            st.booleans(),
            st.sampled_from([["IPv4"], ["IPv6", "IPv4"]]),
        ),
        max_size=6,
    )
)
def test_what_is_remembered_of_pods_changes_nothing(
    history: list[tuple[dict[int, tuple[bool, int]], str, bool, list[str]]],
) -> None:
    """Pods, their node's zone and the Service itself change from one look to the next, or do not."""
    memory = Memory()
    objects: dict[tuple[int, bool, int], Obj] = {}
    services: dict[tuple[Any, ...], Obj] = {}
    for pods, zone, publish, families in history:
        for number, (ready, port) in pods.items():
            objects.setdefault((number, ready, port), a_pod(number, port, ready))
        there = [objects[number, *how] for number, how in pods.items()]
        asked = (publish, *families)
        service = services.setdefault(asked, a_service(publishNotReadyAddresses=publish, ipFamilies=families))
        expected = plan(service, there, [], {"n": zone})
        found = plan(service, there, [], {"n": zone}, memory)
        assert found == expected
