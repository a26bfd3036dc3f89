"""Server-side apply through the whole server, as a client sees it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from api_core import MAPS, Said, Server, config_map, make_server

from wherry.aio.virtual import run_virtual

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
LAST = "kubectl.kubernetes.io/last-applied-configuration"
DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"


async def apply(server: Server, target: str, configuration: Any, manager: str = "m", query: str = "") -> Said:
    return await server.ask("PATCH", f"{target}?fieldManager={manager}{query}", configuration, content_type=APPLY)


def owners(said: Said) -> dict[str, Any]:
    assert said.status in (200, 201), said.body
    return {each["manager"]: each["fieldsV1"] for each in said.body["metadata"].get("managedFields", ())}


def deployment(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    selector = {"matchLabels": {"app": "a"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"selector": selector, "template": template, **spec},
    }


async def test_what_is_not_there_is_made() -> None:
    server = await make_server()
    said = await apply(server, f"{MAPS}/c", config_map(a="1"))
    assert said.status == 201
    assert owners(said) == {"m": {"f:data": {"f:a": {}}}}
    again = await apply(server, f"{MAPS}/c", config_map(a="1"))
    assert (again.status, again.body) == (200, said.body), "nothing changed, nothing was written"


async def test_yaml_is_read() -> None:
    server = await make_server()
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a: 'on'\n"
    assert (await apply(server, f"{MAPS}/c", text)).body["data"] == {"a": "on"}


TWICE = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a: '1'\n  a: '2'\n"


async def test_a_key_that_comes_twice() -> None:
    server = await make_server()
    said = await apply(server, f"{MAPS}/c", TWICE, query="&fieldValidation=Strict")
    assert (said.status, said.body["reason"]) == (400, "BadRequest")
    problem = 'error converting YAML to JSON: yaml: unmarshal errors:\n  line 6: key "a" already set in map'
    assert said.message == f"error strict decoding YAML: {problem}"
    warned = await apply(server, f"{MAPS}/c", TWICE)
    assert (warned.status, warned.warnings) == (201, [problem])
    assert (await apply(server, f"{MAPS}/c", TWICE, query="&fieldValidation=Ignore")).warnings == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{", "error decoding YAML: error converting YAML to JSON: yaml: line 1: did not find expected node content"),
        (b"[]", "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into "),
        (b"a: b", "invalid object type: /, Kind="),
        (b'{"kind": "ConfigMap", "apiVersion": "v2"}', "invalid object type: /v2, Kind=ConfigMap"),
        (b'{"kind": "Secret", "apiVersion": "v1"}', "invalid object type: /v1, Kind=Secret"),
        (b'{"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"managedFields": []}}', "managedFields must be nil"),
        (b'{"kind": "ConfigMap", "apiVersion": "v1"}', "was undeterminable: name must be provided"),
        (b'{"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "d"}}', "does not match the name on the URL"),
        (b'{"kind": "ConfigMap", "apiVersion": "v1", "x": 1}', "(/; /v1, Kind=ConfigMap): .x: field not declared in sch"),
        (b'{"kind": "ConfigMap", "apiVersion": "v1", "data": []}', ".data: expected map, got []"),
        (b'{"kind": "ConfigMap", "apiVersion": "v1", "data": {"a": 1}, "immutable": ""}', "errors:\n  .data.a: expected s"),
    ],
)  # fmt: skip
async def test_what_cannot_be_applied(body: bytes, problem: str) -> None:
    server = await make_server()
    said = await apply(server, f"{MAPS}/c", body)
    assert (said.status, said.body["reason"]) == (400, "BadRequest"), said.body
    assert problem in said.message


async def test_a_configuration_without_metadata() -> None:
    """What had labels has no metadata any more: it is refused for its name, whoever applies."""
    server = await make_server()
    labelled = {**config_map(a="1"), "metadata": {"name": "c", "labels": {"a": "b"}, "annotations": {LAST: "{}"}}}
    for manager in ("m", "kubectl"):
        assert (await apply(server, f"{MAPS}/c", labelled, manager)).status in (200, 201)
        for metadata in ({}, {"metadata": None}, {"metadata": {}}):
            configuration = {"apiVersion": "v1", "kind": "ConfigMap", **metadata}
            said = await apply(server, f"{MAPS}/c", configuration, manager)
            assert said.status in (200, 400), said.body


JUNK: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e300,
    10**30,
    "",
    "x",
    [],
    {},
    [None],
    [[]],
    {"": {}},
    {"a": None},
    {"f:x": 1},
)


def mutated(rng: random.Random, value: Any) -> Any:
    """Something like `value`, with what does not belong there."""
    if rng.random() < 0.1:
        return rng.choice(JUNK)
    if isinstance(value, dict):
        result = {key: mutated(rng, item) if rng.random() < 0.4 else item for key, item in value.items()}
        return {**result, rng.choice(["x", "metadata", "f:a", "."]): rng.choice(JUNK)} if rng.random() < 0.2 else result
    if isinstance(value, list):
        changed = [mutated(rng, item) for item in value]
        return changed + changed[:1] if rng.random() < 0.3 else changed
    return rng.choice(JUNK) if rng.random() < 0.3 else value


async def test_no_configuration_and_no_owners_make_it_fail() -> None:
    server, rng = await make_server(), random.Random(5)
    target = f"{DEPLOYMENTS}/d"
    live = await apply(server, target, deployment(replicas=1))
    seen = set()
    for _ in range(300):
        path = rng.choice([target, f"{target}/status"])
        query = rng.choice(["", "&force=true"])
        said = await apply(server, path, mutated(rng, deployment(replicas=2)), rng.choice(["m", "kubectl"]), query)
        seen.add(said.status)
        owners_sent = mutated(rng, live.body["metadata"]["managedFields"])
        patch = {"metadata": {"managedFields": owners_sent}}
        seen.add((await server.ask("PATCH", target, patch, content_type=MERGE)).status)
    assert seen <= {200, 400, 404, 409, 422}
    assert (await apply(server, target, deployment(replicas=1), "m", "&force=true")).status in (200, 201)


async def test_options_of_an_apply() -> None:
    server = await make_server()
    said = await server.ask("PATCH", f"{MAPS}/c", config_map(a="1"), content_type=APPLY)
    assert said.message == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )
    said = await server.ask("PATCH", f"{MAPS}/c?force=true", {}, content_type=MERGE)
    assert "force: Forbidden: may not be specified for non-apply patch" in said.message
    dry = await apply(server, f"{MAPS}/c", config_map(a="1"), query="&dryRun=All")
    assert dry.status == 201
    assert (await server.ask("GET", f"{MAPS}/c")).status == 404


async def test_conflicts_and_force() -> None:
    server = await make_server()
    await apply(server, f"{MAPS}/c", config_map(a="1", b="1"), "one")
    said = await apply(server, f"{MAPS}/c", config_map(a="2", b="2"), "two")
    assert (said.status, said.body["reason"]) == (409, "Conflict")
    assert said.message == 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.a\n- .data.b'
    forced = await apply(server, f"{MAPS}/c", config_map(a="2"), "two", "&force=true")
    assert forced.body["data"] == {"a": "2", "b": "1"}
    assert owners(forced) == {"one": {"f:data": {"f:b": {}}}, "two": {"f:data": {"f:a": {}}}}
    left = await apply(server, f"{MAPS}/c", config_map(), "two")
    assert left.body["data"] == {"b": "1"}


async def test_versions_and_uids_are_checked() -> None:
    server = await make_server()
    new = {**config_map(a="1"), "metadata": {"name": "c", "uid": "u"}}
    assert "uid mismatch: the provided object specified uid u" in (await apply(server, f"{MAPS}/c", new)).message
    live = (await apply(server, f"{MAPS}/c", config_map(a="1"))).body["metadata"]
    for key, value in (("uid", "u"), ("resourceVersion", "1")):
        said = await apply(server, f"{MAPS}/c", {**config_map(a="2"), "metadata": {"name": "c", key: value}})
        assert (said.status, said.body["reason"]) == (409, "Conflict")
    right = {"name": "c", "uid": live["uid"], "resourceVersion": live["resourceVersion"]}
    assert (await apply(server, f"{MAPS}/c", {**config_map(a="2"), "metadata": right})).status == 200


async def test_whoever_updates_owns() -> None:
    server = await make_server()
    await server.ask("POST", f"{MAPS}?fieldManager=maker", config_map(a="1", b="1"))
    said = await server.ask("PATCH", f"{MAPS}/c", {"data": {"a": "2"}}, content_type=MERGE, User_Agent="tool/v1 (x)")
    assert owners(said) == {"maker": {"f:data": {".": {}, "f:b": {}}}, "tool": {"f:data": {"f:a": {}}}}
    unknown = await server.ask("PATCH", f"{MAPS}/c", {"data": {"b": None}}, content_type=MERGE)
    assert owners(unknown) == {"maker": {"f:data": {}}, "tool": {"f:data": {"f:a": {}}}}
    refused = await apply(server, f"{MAPS}/c", config_map(a="3"))
    assert refused.message == 'Apply failed with 1 conflict: conflict with "tool" using v1: .data.a'


async def test_owners_may_be_forgotten_and_set() -> None:
    server = await make_server()
    live = await apply(server, f"{MAPS}/c", config_map(a="1"))
    kept = await server.ask("PUT", f"{MAPS}/c?fieldManager=m2", config_map(a="1"))
    assert kept.body == live.body, "a client that does not know managedFields does not lose them"
    wrong = {**config_map(a="1"), "metadata": {"name": "c", "managedFields": [{"operation": "Own"}]}}
    assert (await server.ask("PUT", f"{MAPS}/c", wrong)).body == live.body
    entry = {**live.body["metadata"]["managedFields"][0], "manager": "heir"}
    given = await server.ask(
        "PATCH",
        f"{MAPS}/c",
        [{"op": "replace", "path": "/metadata/managedFields", "value": [entry]}],
        content_type=JSON_PATCH,
    )
    assert list(owners(given)) == ["heir"]
    forgotten: list[list[Any]] = [[], [{}]]
    for nothing in forgotten:
        said = await server.ask("PATCH", f"{MAPS}/c", {"metadata": {"managedFields": nothing}}, content_type=MERGE)
        assert "managedFields" not in said.body["metadata"]
        said = await apply(server, f"{MAPS}/c", config_map(a="1"), "new")
        assert owners(said) == {"new": {"f:data": {"f:a": {}}}, "before-first-apply": {"f:data": {".": {}, "f:a": {}}}}


def test_times_change_only_with_fields() -> None:
    async def scenario() -> None:
        server = await make_server()
        await server.ask("POST", f"{MAPS}?fieldManager=one", config_map(a="1"))
        await asyncio.sleep(5)
        said = await server.ask("PATCH", f"{MAPS}/c?fieldManager=two", {"data": {"b": "1"}}, content_type=MERGE)
        times = {each["manager"]: each["time"] for each in said.body["metadata"]["managedFields"]}
        assert times == {"one": "2023-11-14T22:13:20Z", "two": "2023-11-14T22:13:25Z"}
        await asyncio.sleep(5)
        for patch in ({"data": {"b": "1"}}, {"status": {"x": 1}}):
            same = await server.ask("PATCH", f"{MAPS}/c?fieldManager=one", patch, content_type=MERGE)
            assert same.body == said.body

    run_virtual(scenario())


async def test_many_updaters_become_one() -> None:
    server = await make_server()
    await server.ask("POST", f"{MAPS}?fieldManager=m00", config_map(k00="1"))
    for number in range(1, 14):
        patch = {"data": {f"k{number:02}": "1"}}
        said = await server.ask("PATCH", f"{MAPS}/c?fieldManager=m{number:02}", patch, content_type=MERGE)
    found = owners(said)
    assert len(found) == 10
    assert found["ancient-changes"] == {"f:data": {".": {}, **{f"f:k{number:02}": {} for number in range(5)}}}


async def test_status_is_owned_apart() -> None:
    server = await make_server()
    await apply(server, f"{DEPLOYMENTS}/d", deployment(replicas=1))
    status = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "status": {"replicas": 3}}
    both = await apply(server, f"{DEPLOYMENTS}/d", {**deployment(), **status}, "main")
    assert list(owners(both)["main"]) == ["f:spec"]
    assert both.body["status"] == {}
    said = await apply(server, f"{DEPLOYMENTS}/d/status", {**status, "spec": {"replicas": 9}}, "st")
    assert said.body["status"]["replicas"] == 3
    assert said.body["spec"]["replicas"] == 1
    assert owners(said)["st"] == {"f:status": {"f:replicas": {}}}
    assert said.body["metadata"]["managedFields"][-1]["subresource"] == "status"
    missing = await apply(server, f"{DEPLOYMENTS}/none/status", {**status, "metadata": {"name": "none"}})
    assert missing.status == 404, "a status makes no object"


SCALE: dict[str, Any] = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}}


async def test_replicas_belong_to_who_scales() -> None:
    server = await make_server()
    await apply(server, f"{DEPLOYMENTS}/d", deployment(replicas=1))
    said = await apply(server, f"{DEPLOYMENTS}/d/scale", {**SCALE, "spec": {"replicas": 2}}, "scaler")
    assert said.message == 'Apply failed with 1 conflict: conflict with "m": .spec.replicas'
    said = await apply(server, f"{DEPLOYMENTS}/d/scale", {**SCALE, "spec": {"replicas": 2}}, "scaler", "&force=true")
    assert said.body["spec"] == {"replicas": 2}
    assert "managedFields" not in said.body["metadata"]
    live = await server.ask("GET", f"{DEPLOYMENTS}/d")
    assert owners(live)["scaler"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in owners(live)["m"]["f:spec"]
    await server.ask("PATCH", f"{DEPLOYMENTS}/d/scale?fieldManager=hpa", {"spec": {"replicas": 3}}, content_type=MERGE)
    live = await server.ask("GET", f"{DEPLOYMENTS}/d")
    assert set(owners(live)) == {"m", "hpa"}
    refused = await apply(server, f"{DEPLOYMENTS}/d", deployment(replicas=1))
    text = 'conflict with "hpa" with subresource "scale" using apps/v1: .spec.replicas'
    assert refused.message == f"Apply failed with 1 conflict: {text}"
    assert (await apply(server, f"{DEPLOYMENTS}/d", deployment())).body["spec"]["replicas"] == 3
    wrong = await apply(server, f"{DEPLOYMENTS}/d/scale", {**SCALE, "spec": {"x": 3}})
    assert ".spec.x: field not declared in schema" in wrong.message
    gone = await apply(server, f"{DEPLOYMENTS}/none/scale", {**SCALE, "spec": {}})
    assert gone.status == 404


async def test_kubectl_takes_over_from_itself() -> None:
    """`kubectl apply`, then `kubectl apply --server-side`: what the annotation claims is no conflict, all else is."""
    server = await make_server()
    text = '{"apiVersion":"v1","data":{"a":"1"},"kind":"ConfigMap","metadata":{"name":"c"}}\n'
    made = config_map(a="1")
    made["metadata"]["annotations"] = {LAST: text}
    await server.ask("POST", f"{MAPS}?fieldManager=kubectl-client-side-apply", made)
    refused = await apply(server, f"{MAPS}/c", config_map(a="2"), "other")
    assert refused.status == 409
    said = await apply(server, f"{MAPS}/c", config_map(a="2"), "kubectl")
    assert said.body["data"] == {"a": "2"}
    assert said.body["metadata"]["annotations"][LAST] == text.replace("1", "2").replace("v2", "v1")
    await server.ask("PATCH", f"{MAPS}/c?fieldManager=u", {"data": {"a": "7"}}, content_type=MERGE)
    assert (await apply(server, f"{MAPS}/c", config_map(a="3"), "kubectl")).status == 409


async def test_owners_in_another_version() -> None:
    server = await make_server()
    path = "/apis/autoscaling/{}/namespaces/shop/horizontalpodautoscalers"
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 3}
    v1 = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": spec}
    old = await apply(server, f"{path.format('v1')}/h", {**v1, "spec": {**spec, "targetCPUUtilizationPercentage": 50}})
    assert old.status == 201
    v2 = {**v1, "apiVersion": "autoscaling/v2", "spec": {**spec, "maxReplicas": 4}}
    refused = await apply(server, f"{path.format('v2')}/h", v2, "two")
    assert refused.message == 'Apply failed with 1 conflict: conflict with "m": .spec.maxReplicas'
    moved = await apply(server, f"{path.format('v2')}/h", v2)
    assert moved.status == 200
    assert [each["apiVersion"] for each in moved.body["metadata"]["managedFields"]] == ["autoscaling/v2"]
    target = moved.body["spec"]["metrics"][0]["resource"]["target"]
    assert target["averageUtilization"] == 80, "what was applied in the old version is given up: the default is back"


async def test_a_binding_is_nobody_s() -> None:
    server = await make_server()
    await server.ask("POST", "/api/v1/namespaces/shop/serviceaccounts", {"metadata": {"name": "default"}})
    pods = "/api/v1/namespaces/shop/pods"
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    made = await server.ask("POST", f"{pods}?fieldManager=maker", pod)
    assert made.status == 201, made.body
    await server.ask("POST", f"{pods}/p/binding", {"metadata": {"name": "p"}, "target": {"name": "n"}})
    live = await server.ask("GET", f"{pods}/p")
    assert live.body["spec"]["nodeName"] == "n"
    assert live.body["metadata"]["managedFields"] == made.body["metadata"]["managedFields"]
    assert "f:nodeName" not in owners(live)["maker"]["f:spec"]
