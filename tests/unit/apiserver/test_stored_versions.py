from __future__ import annotations

from typing import Any

import pytest
from api_core import make_server

from wherry.api.scheme import Scheme
from wherry.api.types import GVR
from wherry.apiserver.stored_versions import settle
from wherry.apiserver.versions import converters, stored_resource

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


async def test_what_another_version_stored_is_brought_to_this_one() -> None:
    server = await make_server()
    core = server.app.core
    served = core.served[GVR("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")]
    hpas = core.served[GVR("autoscaling", "v2", "horizontalpodautoscalers")]
    old = "flowcontrol.apiserver.k8s.io/v1beta3"
    flow = {"apiVersion": old, "kind": "FlowSchema", "metadata": {"name": "f"}, "spec": {"matchingPrecedence": 7}}
    hpa = {
        "kind": "HorizontalPodAutoscaler",
        "apiVersion": "autoscaling/v1",
        "metadata": {"name": "h", "namespace": "shop"},
        "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50},
    }
    await core.storage.create(served.registry.key("", "f"), flow)
    entry = await core.storage.create(hpas.registry.key("shop", "h"), hpa)
    assert await settle(core) == 2
    said = await server.ask("GET", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas")
    assert [item["spec"]["matchingPrecedence"] for item in said.body["items"]] == [7]
    said = await server.ask("GET", "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/h")
    assert said.body["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
    assert int(said.body["metadata"]["resourceVersion"]) > entry.revision
    assert await settle(core) == 0
