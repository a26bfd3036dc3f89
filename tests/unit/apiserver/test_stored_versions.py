from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from api_core import make_server

from wherry.api import json
from wherry.api.scheme import Scheme
from wherry.api.types import GVR
from wherry.apiserver.registry.generic import arranged
from wherry.apiserver.stored_versions import StoredVersions
from wherry.apiserver.versions import converters, stored_resource
from wherry.storage.database import Database
from wherry.storage.sqlite import SqliteStorage

SCHEME = Scheme.load()
EVENT = {
    "apiVersion": "events.k8s.io/v1",
    "kind": "Event",
    "metadata": {"name": "e", "namespace": "shop"},
    "regarding": {"kind": "Pod", "name": "p", "namespace": "shop"},
    "note": "hello",
    "reason": "Tested",
    "action": "Testing",
    "type": "Normal",
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reportingController": "x.y/z",
    "reportingInstance": "z-1",
}


@pytest.mark.parametrize("version", Scheme.versions())
def test_every_served_resource_has_one_stored_version(version: str) -> None:
    scheme = Scheme.load(version)
    for resource in scheme.resources.values():
        stored = stored_resource(scheme, resource)
        assert stored_resource(scheme, stored) == stored


def round_trip(served: GVR, obj: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    resource = SCHEME.resources[served]
    pair = converters(resource, stored_resource(SCHEME, resource))
    assert pair is not None
    inward, outward = pair
    return inward(obj), outward(inward(obj))


def test_events_of_both_groups() -> None:
    core, back = round_trip(GVR("events.k8s.io", "v1", "events"), EVENT)
    assert (core["apiVersion"], core["message"], core["involvedObject"]["name"]) == ("v1", "hello", "p")
    assert back == EVENT


def test_autoscalers_of_both_versions() -> None:
    old = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {"maxReplicas": 5, "scaleTargetRef": {}, "targetCPUUtilizationPercentage": 80},
        "status": {"currentReplicas": 1, "desiredReplicas": 1, "currentCPUUtilizationPercentage": 40},
    }
    new, back = round_trip(GVR("autoscaling", "v1", "horizontalpodautoscalers"), old)
    target = {"type": "Utilization", "averageUtilization": 80}
    assert new["spec"]["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    assert back == old


def test_what_version_1_cannot_say_survives_it() -> None:
    resource = SCHEME.resources[GVR("autoscaling", "v1", "horizontalpodautoscalers")]
    pair = converters(resource, stored_resource(SCHEME, resource))
    assert pair is not None
    inward, outward = pair
    memory = {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Value", "value": "1Gi"}}}
    new = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {"maxReplicas": 5, "metrics": [memory], "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}},
        "status": {"desiredReplicas": 0, "conditions": [{"type": "AbleToScale", "status": "True"}]},
    }
    assert inward(outward(new)) == new


async def test_one_event_two_paths() -> None:
    server = await make_server()
    said = await server.ask("POST", "/apis/events.k8s.io/v1/namespaces/shop/events", EVENT)
    assert said.status == 201, said.body
    assert (said.body["apiVersion"], said.body["note"]) == ("events.k8s.io/v1", "hello")
    said = await server.ask("GET", "/api/v1/namespaces/shop/events/e")
    assert (said.body["apiVersion"], said.body["message"]) == ("v1", "hello")
    listed = (await server.ask("GET", "/apis/events.k8s.io/v1/events")).body
    assert (listed["apiVersion"], listed["items"][0]["note"]) == ("events.k8s.io/v1", "hello")
    events = await server.watch("/apis/events.k8s.io/v1/events?watch=1")
    assert (await anext(events))["object"]["regarding"]["name"] == "p"
    await events.aclose()


PODS = "/registry/core/pods/"
RESTARTS = {"name": "s", "image": "i", "restartPolicy": "Always"}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "shop", "labels": {"unknown": "labels stay"}},
    "spec": {"containers": [{"name": "c", "image": "i"}], "initContainers": [RESTARTS]},
}
FLOW = {
    "apiVersion": "flowcontrol.apiserver.k8s.io/v1beta3",
    "kind": "FlowSchema",
    "metadata": {"name": "f"},
    "spec": {"matchingPrecedence": 7},
}


@asynccontextmanager
async def opened(folder: Path, version: str) -> AsyncIterator[SqliteStorage]:
    """The file as a control plane of this version opens it."""
    storage = SqliteStorage(folder / "storage.db", inline=True, reading=StoredVersions(Scheme.load(version)))
    await storage.start()
    try:
        yield storage
    finally:
        await storage.close()


async def test_what_another_version_stored_is_shown_in_this_one(tmp_path: Path) -> None:
    hpa = {
        "kind": "HorizontalPodAutoscaler",
        "apiVersion": "autoscaling/v1",
        "metadata": {"name": "h", "namespace": "shop"},
        "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50},
    }
    keys = (
        "/registry/flowcontrol.apiserver.k8s.io/flowschemas/-/f",
        "/registry/autoscaling/horizontalpodautoscalers/shop/h",
    )
    async with opened(tmp_path, "1.26") as storage:
        for key, obj in zip(keys, (FLOW, hpa), strict=True):
            await storage.create(key, obj)
    async with opened(tmp_path, "1.36") as storage:
        flow, scaler = map(storage.get, keys)
        assert flow is not None
        assert scaler is not None
        assert flow.data.startswith(b'{"kind":"FlowSchema","apiVersion":"flowcontrol.apiserver.k8s.io/v1",')
        assert (flow.value["spec"], flow.revision) == (FLOW["spec"], 1)
        assert scaler.value["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
        assert json.decode(scaler.data) == scaler.value
        assert storage.revision == 2, "nothing was written"


async def test_an_older_version_drops_what_it_does_not_know_and_the_newer_finds_it_again(tmp_path: Path) -> None:
    key, bare = f"{PODS}shop/p", {**RESTARTS}
    del bare["restartPolicy"]
    async with opened(tmp_path, "1.36") as storage:
        stored = await storage.create(key, arranged(POD))
    async with opened(tmp_path, "1.27") as storage:
        entry = storage.get(key)
        assert entry is not None
        assert entry.value["spec"] == {**POD["spec"], "initContainers": [bare]}
        assert entry.value["metadata"] == {**POD["metadata"], "resourceVersion": "1"}
        assert json.decode(entry.data) == entry.value
        [change] = [await anext(aiter(storage.watch(PODS, 0)))]
        assert change.entry is entry, "history is shown alike"
    async with opened(tmp_path, "1.36") as storage:
        assert storage.get(key) == stored
    async with opened(tmp_path, "1.27") as storage:
        await storage.update(key, storage.get(key).value, 1)
    async with opened(tmp_path, "1.36") as storage:
        assert storage.get(key).value["spec"]["initContainers"] == [bare]


async def test_the_file_remembers_the_newest_version(tmp_path: Path) -> None:
    path = tmp_path / "storage.db"

    def note() -> str | None:
        database = Database.open(path)
        try:
            return database.note()
        finally:
            database.close()

    for version, newest in (("1.28", "1.28"), ("1.36", "1.36"), ("1.28", "1.36"), ("1.37", "1.37")):
        async with opened(tmp_path, version):
            pass
        assert note() == newest


def test_only_what_a_newer_version_wrote_is_looked_into() -> None:
    unknown = {**POD, "metadata": {"name": "p", "resourceVersion": "1"}, "news": 1}
    data = json.encode(arranged(unknown))
    older = StoredVersions(Scheme.load("1.27"))
    for note, drops in ((None, False), ("1.27", False), ("1.9", False), ("1.36", True), ("", True)):
        older.begin(note)
        value, shown = older.read(f"{PODS}shop/p", unknown, data)
        assert ("news" not in value, shown is not data) == (drops, drops), note


def test_what_is_not_served_lies_untouched() -> None:
    reading = StoredVersions(Scheme.load("1.27"))
    reading.begin("1.36")
    policy = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "x": {"y": 1}}
    key = "/registry/admissionregistration.k8s.io/validatingadmissionpolicies/-/p"
    assert reading.read(key, policy, b"...") == (policy, b"...")
    assert reading.read("/registry/shop.example/orders/shop/o", policy, b"...") == (policy, b"...")
