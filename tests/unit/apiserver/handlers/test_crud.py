# ruff: noqa: E501 (a recorded text reads better on one line)
"""Create, update, patch, delete through the whole chain. Texts are those recorded from Kubernetes 1.36."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from api_core import MAPS, Server, config_map, make_server

from wherry.api.types import Obj
from wherry.apiserver.admission.chain import Admission
from wherry.apiserver.handlers import delete

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"


def deployment(name: str = "web", replicas: int = 2) -> Obj:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


# -- create


async def test_what_the_server_fills_in() -> None:
    server = await make_server()
    said = await server.ask("POST", MAPS, config_map(a="1"))
    assert said.status == 201
    assert list(said.body) == ["kind", "apiVersion", "metadata", "data"]
    metadata = said.body["metadata"]
    assert list(metadata) == ["name", "namespace", "uid", "resourceVersion", "creationTimestamp", "managedFields"]
    assert metadata["namespace"] == "shop"
    assert (await server.ask("GET", f"{MAPS}/c")).body == said.body


async def test_generated_names() -> None:
    server = await make_server()
    body = {"metadata": {"generateName": "g" * 60}}
    names = {(await server.ask("POST", MAPS, body)).body["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20
    for name in names:
        assert name.startswith("g" * 58)
        assert len(name) == 63
        assert set(name[58:]) <= set("bcdfghjklmnpqrstvwxz2456789")


@pytest.mark.parametrize(
    ("body", "status", "reason", "message"),
    [
        ({"metadata": {}}, 422, "Invalid", 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'),
        (b"{", 400, "BadRequest", "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input ({)"),
        (b"", 400, "BadRequest", "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"),
        ({"kind": "Pod", "apiVersion": "v1"}, 400, "BadRequest", 'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion'),
        ({"kind": "ConfigMap", "apiVersion": "v2"}, 400, "BadRequest", "the API version in the data (v2) does not match the expected API version (v1)"),
        ({"metadata": {"name": "c", "namespace": "other"}}, 400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request"),
        ({"metadata": {"name": "c"}, "data": {"a": 1}}, 400, "BadRequest", 'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string'),
        ({"metadata": {"name": "c", "resourceVersion": "5"}}, 400, "BadRequest", "resourceVersion should not be set on objects to be created"),
    ],
)  # fmt: skip
async def test_bodies_that_are_refused(body: Any, status: int, reason: str | None, message: str) -> None:
    server = await make_server()
    said = await server.ask("POST", MAPS, body)
    assert (said.status, said.body.get("reason"), said.message) == (status, reason, message)
    assert (await server.ask("GET", MAPS)).body["items"] == []


async def test_field_validation() -> None:
    server = await make_server()
    body = {**config_map(), "foo": 1, "metadata": {"name": "c", "bar": 2}}
    said = await server.ask("POST", f"{MAPS}?fieldValidation=Strict", body)
    assert said.status == 400
    assert said.message.endswith('strict decoding error: unknown field "metadata.bar", unknown field "foo"') or (
        said.message.endswith('strict decoding error: unknown field "foo", unknown field "metadata.bar"')
    )
    said = await server.ask("POST", MAPS, body)
    assert said.status == 201
    assert sorted(said.warnings) == ['unknown field "foo"', 'unknown field "metadata.bar"']
    assert "foo" not in said.body
    said = await server.ask("PUT", f"{MAPS}/c?fieldValidation=Ignore", body)
    assert (said.status, said.warnings) == (200, [])
    twice = b'{"metadata":{"name":"d"},"data":{"a":"1","a":"2"}}'
    said = await server.ask("POST", f"{MAPS}?fieldValidation=Strict", twice)
    assert 'duplicate field "data.a"' in said.message


async def test_dry_run_changes_nothing() -> None:
    server = await make_server()
    revision = server.app.core.storage.revision
    said = await server.ask("POST", f"{MAPS}?dryRun=All", config_map())
    assert said.status == 201
    assert "resourceVersion" not in said.body["metadata"]
    assert server.app.core.storage.revision == revision
    said = await server.ask("POST", f"{MAPS}?dryRun=Yes", config_map())
    assert said.status == 422


async def test_yaml_bodies() -> None:
    server = await make_server()
    said = await server.ask("POST", MAPS, b"metadata: {name: yam}\ndata: {a: b}\n", content_type="application/yaml")
    assert said.body["data"] == {"a": "b"}
    said = await server.ask("POST", MAPS, b"a: [", content_type="application/yaml")
    assert said.status == 400
    assert "error converting YAML to JSON: yaml: " in said.message
    said = await server.ask("POST", MAPS, b"x", content_type="text/plain")
    assert said.status == 415


# -- update


async def test_a_stale_update_conflicts() -> None:
    server = await make_server()
    first = (await server.ask("POST", MAPS, config_map(a="1"))).body
    await server.ask("PUT", f"{MAPS}/c", {**first, "data": {"a": "2"}})
    said = await server.ask("PUT", f"{MAPS}/c", {**first, "data": {"a": "3"}})
    assert (said.status, said.body["reason"]) == (409, "Conflict")
    assert said.message == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    unconditional = await server.ask("PUT", f"{MAPS}/c", config_map(a="4"))
    assert unconditional.body["data"] == {"a": "4"}
    assert unconditional.body["metadata"]["uid"] == first["metadata"]["uid"]


async def test_an_update_that_changes_nothing_writes_nothing() -> None:
    server = await make_server()
    first = (await server.ask("POST", MAPS, config_map(a="1"))).body
    again = (await server.ask("PUT", f"{MAPS}/c", config_map(a="1"))).body
    assert again == first


async def test_names_in_updates() -> None:
    server = await make_server()
    await server.ask("POST", MAPS, config_map())
    said = await server.ask("PUT", f"{MAPS}/c", config_map("d"))
    assert said.message == "the name of the object (d) does not match the name on the URL (c)"
    said = await server.ask("PUT", f"{MAPS}/c", {"data": {}})
    assert said.message == "the name of the object (c based on URL) was undeterminable: name must be provided"
    said = await server.ask("PUT", f"{MAPS}/nope", config_map("nope"))
    assert (said.status, said.message) == (404, 'configmaps "nope" not found')


async def test_another_uid_is_another_object() -> None:
    server = await make_server()
    first = (await server.ask("POST", MAPS, config_map())).body
    wrong = {**first, "metadata": {**first["metadata"], "uid": "1"}}
    said = await server.ask("PUT", f"{MAPS}/c", wrong)
    assert said.status == 409
    assert "Precondition failed: UID in precondition: 1, UID in object meta: " in said.message


async def test_what_may_not_change() -> None:
    server = await make_server()
    await server.ask("POST", MAPS, config_map())
    patch = {"metadata": {"deletionTimestamp": "2001-01-01T00:00:00Z"}}
    said = await server.ask("PATCH", f"{MAPS}/c", patch, content_type=MERGE)
    assert said.message == (
        'ConfigMap "c" is invalid: metadata.deletionTimestamp: Invalid value: "2001-01-01T00:00:00Z": field is immutable'
    )
    assert len(said.body["details"]["causes"]) == 2


async def test_status_and_spec_are_written_apart() -> None:
    server = await make_server()
    await server.ask("POST", DEPLOYMENTS, {**deployment(), "status": {"replicas": 9}})
    both = {"spec": {"replicas": 5}, "status": {"replicas": 1}}
    said = await server.ask("PATCH", f"{DEPLOYMENTS}/web/status", both, content_type=MERGE)
    assert (said.body["spec"]["replicas"], said.body["status"]["replicas"]) == (2, 1)
    assert said.body["metadata"]["generation"] == 1
    said = await server.ask("PATCH", f"{DEPLOYMENTS}/web", both | {"status": {"replicas": 7}}, content_type=MERGE)
    assert (said.body["spec"]["replicas"], said.body["status"]["replicas"]) == (5, 1)
    assert said.body["metadata"]["generation"] == 2


async def test_many_writers_of_one_object_lose_no_write() -> None:
    server = await make_server()
    await server.ask("POST", MAPS, config_map())
    patches = [server.ask("PATCH", f"{MAPS}/c", {"data": {f"k{i}": "v"}}, content_type=MERGE) for i in range(64)]
    answers = await asyncio.gather(*patches)
    assert {said.status for said in answers} == {200}
    assert len((await server.ask("GET", f"{MAPS}/c")).body["data"]) == 64


# -- patch


@pytest.mark.parametrize(
    ("patch", "media", "status", "message"),
    [
        ([], MERGE, 400, "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (b"null", MERGE, 400, "Invalid JSON Patch"),
        (b"", MERGE, 400, "error decoding patch: unexpected end of JSON input"),
        ([], STRATEGIC, 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ({}, "application/json", 415, "415: Unsupported Media Type"),
        ({"metadata": None}, MERGE, 400, "the name of the object (c based on URL) was undeterminable: name must be provided"),
        ({"metadata": {"name": "d"}}, MERGE, 400, "the name of the object (d) does not match the name on the URL (c)"),
        ([{"op": "remove", "path": "/nope"}], JSON_PATCH, 422, "the server rejected our request due to an error in our request"),
    ],
)  # fmt: skip
async def test_patches_that_are_refused(patch: Any, media: str, status: int, message: str) -> None:
    server = await make_server()
    await server.ask("POST", MAPS, config_map(a="1"))
    said = await server.ask("PATCH", f"{MAPS}/c", patch, content_type=media)
    assert (said.status, said.message) == (status, message)


async def test_a_patch_bound_to_a_revision() -> None:
    server = await make_server()
    await server.ask("POST", MAPS, config_map(a="1"))
    said = await server.ask("PATCH", f"{MAPS}/c", {"metadata": {"resourceVersion": "1"}}, content_type=MERGE)
    assert (said.status, said.body["reason"]) == (409, "Conflict")


async def test_cbor_is_no_way_to_apply() -> None:
    server = await make_server()
    said = await server.ask("PATCH", f"{MAPS}/c", b"{}", content_type="application/apply-patch+cbor")
    assert (said.status, said.body["reason"]) == (415, "UnsupportedMediaType")


# -- delete


async def test_delete_answers_with_a_status() -> None:
    server = await make_server()
    uid = (await server.ask("POST", MAPS, config_map())).body["metadata"]["uid"]
    said = await server.ask("DELETE", f"{MAPS}/c")
    assert said.body["status"] == "Success"
    assert said.body["details"] == {"name": "c", "kind": "configmaps", "uid": uid}
    assert (await server.ask("GET", f"{MAPS}/c")).status == 404


async def test_preconditions() -> None:
    server = await make_server()
    await server.ask("POST", MAPS, config_map())
    said = await server.ask("DELETE", f"{MAPS}/c", {"preconditions": {"uid": "x"}})
    assert said.status == 409
    assert "the UID in the precondition (x) does not match the UID in record" in said.message
    said = await server.ask("DELETE", f"{MAPS}/c", {"preconditions": {"resourceVersion": "1"}})
    assert said.status == 409
    assert (await server.ask("GET", f"{MAPS}/c")).status == 200


async def test_the_last_finalizer_lets_it_go() -> None:
    server = await make_server()
    body = {"metadata": {"name": "f", "finalizers": ["a.b/c"]}}
    await server.ask("POST", MAPS, body)
    said = await server.ask("DELETE", f"{MAPS}/f")
    assert said.body["kind"] == "ConfigMap"
    assert said.body["metadata"]["deletionTimestamp"]
    said = await server.ask("PATCH", f"{MAPS}/f", {"metadata": {"finalizers": ["a.b/c", "d.e/f"]}}, content_type=MERGE)
    assert 'found new finalizers []string{"d.e/f"}' in said.message
    said = await server.ask("PATCH", f"{MAPS}/f", {"metadata": {"finalizers": None}}, content_type=MERGE)
    assert said.status == 200
    assert (await server.ask("GET", f"{MAPS}/f")).status == 404


async def test_a_bound_pod_gets_its_grace_and_goes_with_none() -> None:
    server = await make_server(admission=Admission([]))
    pods = "/api/v1/namespaces/shop/pods"
    spec = {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 20}
    for name, node in (("free", None), ("bound", "n1")):
        body = {"metadata": {"name": name}, "spec": {**spec, **({"nodeName": node} if node else {})}}
        assert (await server.ask("POST", pods, body)).status == 201
    said = await server.ask("DELETE", f"{pods}/free")
    assert said.body["metadata"]["deletionGracePeriodSeconds"] == 0
    assert (await server.ask("GET", f"{pods}/free")).status == 404
    said = await server.ask("DELETE", f"{pods}/bound")
    assert said.body["metadata"]["deletionGracePeriodSeconds"] == 20
    assert (await server.ask("GET", f"{pods}/bound")).status == 200
    await server.ask("DELETE", f"{pods}/bound?gracePeriodSeconds=0")
    assert (await server.ask("GET", f"{pods}/bound")).status == 404


async def test_namespaces_wait_for_finalize() -> None:
    server = await make_server()
    said = await server.ask("DELETE", "/api/v1/namespaces/shop")
    assert said.body["status"] == {"phase": "Terminating"}
    assert (await server.ask("POST", MAPS, config_map())).status == 403
    said = await server.ask("PUT", "/api/v1/namespaces/shop/finalize", {"metadata": {"name": "shop"}, "spec": {}})
    assert said.status == 200
    assert (await server.ask("GET", "/api/v1/namespaces/shop")).status == 404


async def test_delete_collection() -> None:
    server = await make_server()
    for i in range(4):
        body = config_map(f"c{i}")
        body["metadata"]["labels"] = {"even": str(i % 2 == 0).lower()}
        await server.ask("POST", MAPS, body)
    said = await server.ask("DELETE", f"{MAPS}?labelSelector=even%3Dtrue")
    assert [item["metadata"]["name"] for item in said.body["items"]] == ["c0", "c2"]
    left = (await server.ask("GET", MAPS)).body["items"]
    assert [item["metadata"]["name"] for item in left] == ["c1", "c3"]


async def test_delete_collection_of_more_than_are_deleted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delete, "AT_ONCE", 3)
    server = await make_server()
    for i in range(8):
        await server.ask("POST", MAPS, config_map(f"c{i}"))
    held = {"metadata": {"finalizers": ["example.com/kept"]}}
    await server.ask("PATCH", f"{MAPS}/c5", held, content_type=MERGE)
    said = await server.ask("DELETE", MAPS)
    assert len(said.body["items"]) == 8
    (left,) = (await server.ask("GET", MAPS)).body["items"]
    assert left["metadata"]["name"] == "c5"
    assert "deletionTimestamp" in left["metadata"]


# -- parts


async def test_scale() -> None:
    server = await make_server()
    await server.ask("POST", DEPLOYMENTS, deployment(replicas=0))
    said = await server.ask("GET", f"{DEPLOYMENTS}/web/scale")
    assert said.body["kind"] == "Scale"
    assert said.body["spec"] == {}
    assert said.body["status"] == {"replicas": 0, "selector": "a=b"}
    patch = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
    said = await server.ask("PATCH", f"{DEPLOYMENTS}/web/scale", patch, content_type=JSON_PATCH)
    assert said.body["spec"] == {"replicas": 3}
    assert (await server.ask("GET", f"{DEPLOYMENTS}/web")).body["spec"]["replicas"] == 3
    said = await server.ask("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": -2}}, content_type=MERGE)
    assert (
        said.message
        == 'Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -2: must be greater than or equal to 0'
    )


async def bound_pod(server: Server) -> None:
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert (await server.ask("POST", "/api/v1/namespaces/shop/pods", body)).status == 201


@pytest.mark.parametrize("path", ["/api/v1/namespaces/shop/pods/p/binding", "/api/v1/namespaces/shop/bindings"])
async def test_binding(path: str) -> None:
    server = await make_server(admission=Admission([]))
    await bound_pod(server)
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    said = await server.ask("POST", path, binding)
    assert said.status == 201
    pod = (await server.ask("GET", "/api/v1/namespaces/shop/pods/p")).body
    assert pod["spec"]["nodeName"] == "n1"
    (condition,) = [each for each in pod["status"]["conditions"] if each["type"] == "PodScheduled"]
    assert condition["status"] == "True"
    said = await server.ask("POST", path, binding)
    assert said.message == 'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"'


async def test_eviction_asks_the_budget() -> None:
    server = await make_server(admission=Admission([]))
    await bound_pod(server)
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    pod = "/api/v1/namespaces/shop/pods/p"
    await server.ask("PATCH", f"{pod}/status", ready, content_type=MERGE)
    await server.ask("PATCH", pod, {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)
    budgets = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets"
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}
    assert (await server.ask("POST", budgets, budget)).status == 201
    status = {
        "status": {
            "observedGeneration": 1,
            "disruptionsAllowed": 0,
            "currentHealthy": 1,
            "desiredHealthy": 1,
            "expectedPods": 1,
        }
    }
    await server.ask("PATCH", f"{budgets}/b/status", status, content_type=MERGE)
    said = await server.ask("POST", f"{pod}/eviction", {"metadata": {"name": "p"}})
    assert said.status == 429
    assert "Retry-After" not in said.headers
    text = "The disruption budget b needs 1 healthy pods and has 1 currently"
    assert said.body["details"] == {"causes": [{"reason": "DisruptionBudget", "message": text}]}
    status["status"] |= {"disruptionsAllowed": 1, "observedGeneration": 0}
    await server.ask("PATCH", f"{budgets}/b/status", status, content_type=MERGE)
    said = await server.ask("POST", f"{pod}/eviction", {"metadata": {"name": "p"}})
    assert (said.status, said.headers["Retry-After"]) == (429, "10")
    status["status"]["observedGeneration"] = 1
    await server.ask("PATCH", f"{budgets}/b/status", status, content_type=MERGE)
    said = await server.ask("POST", f"{pod}/eviction", {"metadata": {"name": "p"}})
    assert said.status == 201
    assert (await server.ask("GET", pod)).status == 404
    assert (await server.ask("GET", f"{budgets}/b")).body["status"]["disruptionsAllowed"] == 0


# -- paths


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/v1/namespaces/shop/pods/x", 405),
        ("PUT", "/api/v1/namespaces/shop/pods", 405),
        ("POST", "/api/v1/pods", 405),
        ("GET", "/api/v1/pods/x", 404),
        ("POST", "/api/v1/namespaces/shop/nodes", 404),
        ("GET", "/api/v1/foos", 404),
        ("GET", "/apis/apps/v9/deployments", 404),
        ("GET", "/api/v1/namespaces/shop/pods/x/nosub", 404),
        ("HEAD", "/api/v1/namespaces/shop/configmaps", 405),
        ("FOO", "/api/v1/namespaces/shop/configmaps", 405),
        ("OPTIONS", "/api/v1/namespaces/shop/configmaps", 405),
        ("DELETE", "/apis/apps/v1/namespaces/shop/deployments/d/scale", 405),
        ("GET", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews/x", 404),
        ("DELETE", "/apis/authorization.k8s.io/v1/subjectaccessreviews", 405),
        ("POST", "/version", 405),
        ("GET", "/api/v1/namespaces/shop/configmaps/..", 400),
    ],
)
async def test_paths_and_methods(method: str, path: str, status: int) -> None:
    server = await make_server()
    said = await server.ask(method, path, {})
    assert said.status == status
    assert said.body["kind"] == "Status"


@pytest.mark.parametrize(
    "path", ["/nope", "/apis/nope.example.com/v1", "/apis/nope.example.com/v1/x", "//api/v1", "/logs/"]
)
async def test_paths_nobody_has(path: str) -> None:
    server = await make_server()
    said = await server.ask("GET", path)
    assert (said.status, said.body) == (404, "404 page not found\n")


async def test_a_bug_of_ours_is_a_500_with_a_status(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = await make_server()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(server.app.core.storage, "get", broken)
    said = await server.ask("GET", f"{MAPS}/c")
    assert (said.status, said.message) == (500, "Internal error occurred: ZeroDivisionError: oops")
    assert "GET /api/v1/namespaces/shop/configmaps/c failed" in caplog.text
