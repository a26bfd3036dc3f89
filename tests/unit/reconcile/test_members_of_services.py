"""Who stands behind a Service, kept pod by pod, and how long changes gather."""

from __future__ import annotations

import random
from typing import Any

import pytest

from wherry.api.types import Obj
from wherry.reconcile.gathering import seconds_for
from wherry.reconcile.reconciler import Request
from wherry.reconcile.service_pods import Members, selects


class Source:
    """An informer as far as `Members` goes: objects by name, told to handlers when they change."""

    def __init__(self) -> None:
        self.there: dict[str, Obj] = {}
        self._handlers: list[Any] = []

    def add_handler(self, handler: Any) -> None:
        self._handlers.append(handler)

    def list(self, namespace: str) -> list[Obj]:
        return [obj for obj in self.there.values() if obj["metadata"]["namespace"] == namespace]

    def put(self, obj: Obj) -> None:
        old = self.there.get(obj["metadata"]["name"])
        self.there[obj["metadata"]["name"]] = obj
        for handler in self._handlers:
            handler("added" if old is None else "modified", obj, old)

    def remove(self, name: str) -> None:
        obj = self.there.pop(name, None)
        for handler in self._handlers if obj is not None else ():
            handler("deleted", obj, None)


def a_pod(name: str, app: str, ready: bool = True) -> Obj:
    status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}], "podIP": "10.0.0.1"}
    metadata = {"name": name, "namespace": "default", "uid": name, "labels": {"app": app}}
    return {"metadata": metadata, "spec": {}, "status": status}


def a_service(name: str, **selector: str) -> Obj:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"selector": selector}}


def test_whatever_happens_the_members_are_the_selected() -> None:
    services, pods, rng = Source(), Source(), random.Random(3)
    members = Members(services, pods, lambda request, seconds: None)  # type: ignore[arg-type]
    for _ in range(600):
        number, app = rng.randrange(12), rng.choice("abc")
        act = rng.randrange(6)
        if act < 3:
            pods.put(a_pod(f"p{number}", app, ready=rng.random() < 0.5))
        elif act == 3:
            pods.remove(f"p{number}")
        elif act == 4:
            services.put(a_service(f"s{number % 3}", app=app))
        else:
            services.remove(f"s{number % 3}")
        for service in services.there.values():
            expected = {pod["metadata"]["name"] for pod in pods.there.values() if selects(service, pod)}
            found = members.of(service)
            assert {pod["metadata"]["name"] for pod in found} == expected
            assert all(pods.there[pod["metadata"]["name"]] is pod for pod in found)


def test_services_hear_of_pods_they_select_or_did_and_of_nothing_else() -> None:
    services, pods = Source(), Source()
    told: list[str] = []
    Members(services, pods, lambda request, seconds: told.append(request.name))  # type: ignore[arg-type]
    services.put(a_service("s", app="a"))
    services.put(a_service("other", app="b"))
    told.clear()
    pods.put(a_pod("p", "a"))
    assert told == ["s"]
    pods.put({**a_pod("p", "a"), "status": {**a_pod("p", "a")["status"], "message": "does not show in endpoints"}})
    assert told == ["s"]
    pods.put(a_pod("p", "a", ready=False))
    pods.put(a_pod("p", "b"))
    assert told == ["s", "s", "s", "other"]
    pods.remove("p")
    assert told[4:] == ["other"]


def test_changes_of_many_members_gather() -> None:
    services, pods = Source(), Source()
    told: list[float] = []
    members = Members(services, pods, lambda request, seconds: told.append(seconds))  # type: ignore[arg-type]
    services.put(a_service("s", app="a"))
    for number in range(500):
        pods.put(a_pod(f"p{number}", "a"))
    assert len(members.of(services.there["s"])) == 500
    told.clear()
    pods.put(a_pod("p0", "a", ready=False))
    assert told == [members.patience(Request("default", "s"))] == [0.1]


@pytest.mark.parametrize(("objects", "seconds"), [(3, 0.0), (499, 0.0), (1_000, 0.2), (10**6, 2.0)])
def test_a_few_wait_for_nothing_and_many_not_long(objects: int, seconds: float) -> None:
    assert seconds_for(objects) == seconds
