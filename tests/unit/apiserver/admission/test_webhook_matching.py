"""Which requests a webhook is asked about, and in which version it sees them."""

from __future__ import annotations

from typing import Any

import pytest
from api_core import MAPS, Server, config_map
from webhook_world import Callee, allow, configure, hook, patching, world

from wherry.api.types import Obj

MERGE = "application/merge-patch+json"
HPAS = "/apis/autoscaling/v1/namespaces/shop/horizontalpodautoscalers"
DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"
PODS = "/api/v1/namespaces/shop/pods"


def rule(groups: str, versions: str, resources: str, **more: Any) -> list[Obj]:
    said = {"apiGroups": [groups], "apiVersions": [versions], "resources": resources.split(), "operations": ["*"]}
    return [{**said, **more}]


async def asked_about_a_config_map(labels: dict[str, str] | None = None, **more: Any) -> bool:
    server, callee = await world()
    await server.ask("PATCH", "/api/v1/namespaces/shop", {"metadata": {"labels": {"team": "a"}}}, content_type=MERGE)
    await configure(server, "Validating", "v", hook("a", "configmaps", **more))
    callee.answers["a"] = allow
    said = await server.ask("POST", MAPS, {**config_map(), "metadata": {"name": "c", "labels": labels or {}}})
    assert said.status == 201, said.body
    return bool(callee.asked)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"rules": rule("", "v1", "configmaps")}, True),
        ({"rules": rule("", "v1", "*")}, True),
        ({"rules": rule("", "v1", "*/*")}, True),
        ({"rules": rule("", "v1", "configmaps/*")}, True),
        ({"rules": rule("", "v1", "configmaps/status")}, False),
        ({"rules": rule("apps", "*", "*")}, False),
        ({"rules": rule("", "v2", "configmaps")}, False),
        ({"rules": rule("", "v1", "configmaps", operations=["UPDATE", "DELETE"])}, False),
        ({"rules": rule("", "v1", "configmaps", scope="Namespaced")}, True),
        ({"rules": rule("", "v1", "configmaps", scope="Cluster")}, False),
        ({"namespaceSelector": {"matchLabels": {"team": "a"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, False),
        ({"objectSelector": {"matchLabels": {"x": "1"}}}, True),
        ({"objectSelector": {"matchLabels": {"x": "2"}}}, False),
    ],
)
async def test_rules_and_selectors(more: dict[str, Any], expected: bool) -> None:
    assert await asked_about_a_config_map({"x": "1"}, **more) is expected


async def test_an_object_that_loses_its_label_is_still_asked_about() -> None:
    server, callee = await world()
    await server.ask("POST", MAPS, {"metadata": {"name": "c", "labels": {"x": "1"}}})
    await configure(server, "Validating", "v", hook("a", "configmaps", objectSelector={"matchLabels": {"x": "1"}}))
    callee.answers["a"] = allow
    await server.ask("PATCH", f"{MAPS}/c", {"metadata": {"labels": None}}, content_type=MERGE)
    assert callee.names() == ["a"]
    await server.ask("DELETE", f"{MAPS}/c")
    assert callee.names() == ["a"]


async def test_a_namespace_is_judged_by_its_own_labels() -> None:
    server, callee = await world()
    selector = {"matchLabels": {"team": "new"}}
    await configure(server, "Validating", "v", hook("a", "namespaces", namespaceSelector=selector))
    callee.answers["a"] = allow
    await server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "old"}})
    await server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "new", "labels": {"team": "new"}}})
    ((_, request),) = callee.asked
    assert (request["name"], request["namespace"]) == ("new", "new")


async def autoscaler(server: Server) -> Obj:
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "maxReplicas": 3,
        "targetCPUUtilizationPercentage": 50,
    }
    said = await server.ask("POST", HPAS, {"metadata": {"name": "h"}, "spec": spec})
    assert said.status == 201, said.body
    body: Obj = said.body
    return body


async def test_equivalent_versions_are_converted_and_patches_come_back() -> None:
    server, callee = await world()
    rules = rule("autoscaling", "v2", "horizontalpodautoscalers")
    await configure(server, "Mutating", "m", hook("a", rules=rules))
    callee.answers["a"] = patching({"op": "replace", "path": "/spec/maxReplicas", "value": 9})
    made = await autoscaler(server)
    request = callee.asked[0][1]
    assert request["kind"]["version"] == request["resource"]["version"] == "v2"
    assert request["requestKind"]["version"] == request["requestResource"]["version"] == "v1"
    assert request["object"]["apiVersion"] == "autoscaling/v2"
    assert request["object"]["spec"]["metrics"][0]["resource"]["name"] == "cpu"
    assert (made["apiVersion"], made["spec"]["maxReplicas"]) == ("autoscaling/v1", 9)
    assert made["spec"]["targetCPUUtilizationPercentage"] == 50


async def test_exact_versions_only() -> None:
    server, callee = await world()
    rules = rule("autoscaling", "v2", "horizontalpodautoscalers")
    await configure(server, "Validating", "v", hook("a", rules=rules, matchPolicy="Exact"))
    await autoscaler(server)
    assert callee.asked == []


async def deployed(server: Server) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    said = await server.ask("POST", DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec})
    assert said.status == 201, said.body


async def test_a_scale_is_shown_as_a_scale_and_may_be_changed() -> None:
    server, callee = await world()
    await deployed(server)
    await configure(server, "Mutating", "m", hook("a", "deployments/scale"))
    callee.answers["a"] = patching({"op": "replace", "path": "/spec/replicas", "value": 4})
    said = await server.ask("PATCH", f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": 7}}, content_type=MERGE)
    assert (said.status, said.body["spec"]["replicas"]) == (200, 4)
    request = callee.asked[0][1]
    assert request["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert (request["resource"]["resource"], request["subResource"]) == ("deployments", "scale")
    assert (request["object"]["spec"], request["oldObject"]["spec"]) == ({"replicas": 7}, {"replicas": 1})


async def pod(server: Server) -> None:
    await server.ask("POST", "/api/v1/namespaces/shop/serviceaccounts", {"metadata": {"name": "default"}})
    said = await server.ask(
        "POST", PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    )
    assert said.status == 201, said.body


@pytest.mark.parametrize(
    ("path", "body", "operation", "kind"),
    [
        (f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": {"name": "n"}}, "CREATE", "Binding"),
        (f"{PODS}/p/eviction", {"metadata": {"name": "p"}}, "CREATE", "Eviction"),
        ("/api/v1/namespaces/shop/serviceaccounts/default/token", {"spec": {}}, "CREATE", "TokenRequest"),
        (f"{PODS}/p/exec?command=ls&command=-l&stdout=true&container=c", None, "CONNECT", "PodExecOptions"),
        (f"{PODS}/p/portforward?ports=80", None, "CONNECT", "PodPortForwardOptions"),
    ],
)
async def test_subresources_that_are_no_objects(path: str, body: Any, operation: str, kind: str) -> None:
    server, callee = await world()
    await pod(server)
    await configure(server, "Validating", "v", hook("a", "*/*"))
    callee.answers["a"] = lambda _: {"allowed": False}
    said = await server.ask("POST", path, body)
    assert said.message == 'admission webhook "a.example.com" denied the request without explanation'
    ((_, request),) = callee.asked
    assert (request["operation"], request["kind"]["kind"], request["object"]["kind"]) == (operation, kind, kind)
    if kind == "PodExecOptions":
        assert request["object"] == {
            "kind": kind, "apiVersion": "v1", "stdout": True, "container": "c", "command": ["ls", "-l"],
        }  # fmt: skip


async def test_match_conditions() -> None:
    conditions = [{"name": "n", "expression": "object.metadata.name != 'skip'"}]
    server, callee = await world()
    await configure(server, "Validating", "v", hook("a", "configmaps", matchConditions=conditions))
    callee.answers["a"] = allow
    await server.ask("POST", MAPS, config_map("skip"))
    assert callee.asked == []
    await server.ask("POST", MAPS, config_map("other"))
    assert callee.names() == ["a"]


@pytest.mark.parametrize(("policy", "status"), [("Fail", 403), ("Ignore", 201)])
async def test_a_condition_without_a_value(policy: str, status: int) -> None:
    conditions = [{"name": "n", "expression": "object.data.missing == 'x'"}]
    server, callee = await world()
    await configure(
        server, "Validating", "v", hook("a", "configmaps", matchConditions=conditions, failurePolicy=policy)
    )
    said = await server.ask("POST", MAPS, config_map(a="1"))
    assert said.status == status
    if status == 403:
        text = "expression 'object.data.missing == 'x'' resulted in error: no such key: missing"
        assert said.message == f'configmaps "c" is forbidden: {text}'
    assert callee.asked == []


async def test_nobody_is_asked_when_there_is_nobody() -> None:
    server, callee = await world()
    assert isinstance(callee, Callee)
    assert (await server.ask("POST", MAPS, config_map())).status == 201
    assert callee.asked == []


async def test_what_a_webhook_makes_of_them_counts() -> None:
    server, callee = await world()
    await pod(server)
    await configure(server, "Mutating", "m", hook("a", "pods/binding", "serviceaccounts/token"))
    callee.answers["a"] = patching({"op": "replace", "path": "/target/name", "value": "elsewhere"})
    said = await server.ask("POST", f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": {"name": "here"}})
    assert said.status == 201, said.body
    assert (await server.ask("GET", f"{PODS}/p")).body["spec"]["nodeName"] == "elsewhere"
    callee.answers["a"] = patching({"op": "add", "path": "/spec/audiences", "value": ["mine"]})
    path = "/api/v1/namespaces/shop/serviceaccounts/default/token"
    said = await server.ask("POST", path, {"spec": {"audiences": ["yours"]}})
    assert said.body["spec"]["audiences"] == ["mine"]
    callee.answers["a"] = patching({"op": "add", "path": "/spec/expirationSeconds", "value": 5})
    assert (await server.ask("POST", path, {"spec": {}})).status == 422
