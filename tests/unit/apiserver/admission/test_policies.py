# ruff: noqa: E501 (a text of Kubernetes reads better on one line)
"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy: what expressions see, what they decide, what is said about it."""

from __future__ import annotations

from typing import Any

import pytest
from api_core import MAPS, Server, config_map, make_server

from wherry.api.types import Obj

GROUP = "/apis/admissionregistration.k8s.io/v1"
MERGE = "application/merge-patch+json"
DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"


def rules(*resources: str, operations: tuple[str, ...] = ("CREATE", "UPDATE")) -> Obj:
    rule = {"operations": list(operations), "apiGroups": ["*"], "apiVersions": ["*"], "resources": list(resources)}
    return {"resourceRules": [rule]}


async def post(server: Server, path: str, body: Obj) -> Any:
    said = await server.ask("POST", path, body)
    assert said.status == 201, said.body
    return said.body


async def validating(server: Server, binding: Obj | None = None, **spec: Any) -> None:
    spec = {"matchConstraints": rules("configmaps"), **spec}
    await post(server, f"{GROUP}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": spec})
    bound = {"policyName": "p", "validationActions": ["Deny"], **(binding or {})}
    await post(server, f"{GROUP}/validatingadmissionpolicybindings", {"metadata": {"name": "b"}, "spec": bound})


async def mutating(server: Server, *mutations: Obj, binding: Obj | None = None, name: str = "p", **spec: Any) -> None:
    spec = {
        "matchConstraints": rules("configmaps"),
        "mutations": list(mutations),
        "reinvocationPolicy": "Never",
        **spec,
    }
    await post(server, f"{GROUP}/mutatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec})
    bound = {"policyName": name, **(binding or {})}
    await post(server, f"{GROUP}/mutatingadmissionpolicybindings", {"metadata": {"name": name}, "spec": bound})


def json_patch(expression: str) -> Obj:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


def configuration(expression: str) -> Obj:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


DENIED = "configmaps \"c\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "


@pytest.mark.parametrize(
    ("validation", "status", "message"),
    [
        ({"expression": "object.data.a == '1'"}, 201, ""),
        ({"expression": "object.data.a == '2'"}, 422, "failed expression: object.data.a == '2'"),
        ({"expression": "false", "message": " never "}, 422, "never"),
        ({"expression": "false", "messageExpression": "'it is ' + object.data.a", "message": "m"}, 422, "it is 1"),
        ({"expression": "false", "messageExpression": "string(object.data.zz)", "message": "m"}, 422, "m"),
        ({"expression": "false", "messageExpression": "'  '", "message": "m"}, 422, "m"),
        ({"expression": "false", "reason": "Forbidden"}, 403, "failed expression: false"),
        ({"expression": "false", "reason": "Unauthorized"}, 401, "failed expression: false"),
        ({"expression": "false", "reason": "RequestEntityTooLarge"}, 413, "failed expression: false"),
        (
            {"expression": "object.data.zz == 'x'"},
            422,
            "expression 'object.data.zz == 'x'' resulted in error: no such key: zz",
        ),
        ({"expression": "oldObject == null && request.operation == 'CREATE'"}, 201, ""),
        ({"expression": "request.userInfo.username == 'admin' && request.name == 'c'"}, 201, ""),
        ({"expression": "namespaceObject.metadata.name == request.namespace"}, 201, ""),
        ({"expression": "authorizer.requestResource.check('create').allowed()"}, 201, ""),
        (
            {"expression": "authorizer.serviceAccount('shop', 'x').group('').resource('pods').check('list').allowed()"},
            422,
            None,
        ),
    ],
)
async def test_validations(validation: Obj, status: int, message: str | None) -> None:
    server = await make_server()
    await validating(server, validations=[validation])
    said = await server.ask("POST", MAPS, config_map(a="1"))
    assert said.status == status, said.body
    if status != 201 and message is not None:
        assert said.message == f"{DENIED}{message}"
        assert said.body["reason"] == validation.get("reason", "Invalid")
        assert said.body["details"]["causes"] == [{"message": said.message.partition("forbidden: ")[2]}]


async def test_failures_that_are_ignored() -> None:
    server = await make_server()
    await validating(server, validations=[{"expression": "object.data.zz == 'x'"}], failurePolicy="Ignore")
    assert (await server.ask("POST", MAPS, config_map())).status == 201


async def test_warnings_and_audit_deny_nothing() -> None:
    server = await make_server()
    await validating(
        server, {"validationActions": ["Warn", "Audit"]}, validations=[{"expression": "false", "message": "m"}]
    )
    said = await server.ask("POST", MAPS, config_map())
    assert (said.status, said.warnings) == (
        201,
        ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': m"],
    )


async def test_variables_and_conditions() -> None:
    server = await make_server()
    await validating(
        server,
        variables=[{"name": "n", "expression": "size(object.data)"}, {"name": "many", "expression": "variables.n > 1"}],
        matchConditions=[{"name": "x", "expression": "object.metadata.name != 'free'"}],
        validations=[{"expression": "!variables.many", "messageExpression": "string(variables.n) + ' is many'"}],
    )
    assert (await server.ask("POST", MAPS, config_map("one", a="1"))).status == 201
    assert (await server.ask("POST", MAPS, config_map("free", a="1", b="2"))).status == 201
    assert (await server.ask("POST", MAPS, config_map(a="1", b="2"))).message == f"{DENIED}2 is many"


async def test_updates_and_what_is_excluded() -> None:
    server = await make_server()
    constraints = {**rules("*"), "excludeResourceRules": rules("secrets", operations=("*",))["resourceRules"]}
    await validating(server, {"matchResources": {"objectSelector": {"matchLabels": {"x": "1"}}}}, matchConstraints=constraints,
                     validations=[{"expression": "oldObject == null || object.data == oldObject.data"}])  # fmt: skip
    made = {"metadata": {"name": "c", "labels": {"x": "1"}}, "data": {"a": "1"}}
    for kind in ("configmaps", "secrets"):
        path = f"/api/v1/namespaces/shop/{kind}"
        await post(server, path, made if kind == "configmaps" else {"metadata": made["metadata"]})
        said = await server.ask("PATCH", f"{path}/c", {"data": {"a": "Mg=="}}, content_type=MERGE)
        assert said.status == (422 if kind == "configmaps" else 200), said.body
    await server.ask("PATCH", f"{MAPS}/c", {"metadata": {"labels": None}}, content_type=MERGE)
    assert (await server.ask("PATCH", f"{MAPS}/c", {"data": {"a": "3"}}, content_type=MERGE)).status == 200


PARAMS = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}


@pytest.mark.parametrize(
    ("ref", "status", "message"),
    [
        ({"name": "limits", "namespace": "default"}, 422, f"{DENIED}over 1"),
        ({"selector": {"matchLabels": {"l": "1"}}, "namespace": "default"}, 422, f"{DENIED}over 1"),
        (
            {"name": "none"},
            422,
            f"{DENIED}failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
        ),
        ({"name": "none", "parameterNotFoundAction": "Allow"}, 201, ""),
    ],
)
async def test_params(ref: Obj, status: int, message: str) -> None:
    server = await make_server()
    await post(server, "/api/v1/namespaces", {"metadata": {"name": "default"}})
    limits = {"metadata": {"name": "limits", "labels": {"l": "1"}}, "data": {"max": "1"}}
    await post(server, "/api/v1/namespaces/default/configmaps", limits)
    validation = {
        "expression": "size(object.data) <= int(params.data.max)",
        "messageExpression": "'over ' + params.data.max",
    }
    await validating(
        server, {"paramRef": {"parameterNotFoundAction": "Deny", **ref}}, validations=[validation], **PARAMS
    )
    said = await server.ask("POST", MAPS, config_map(a="1", b="2"))
    assert (said.status, said.body.get("message", "")) == (status, message)


async def test_a_kind_of_params_that_is_not_served() -> None:
    server = await make_server()
    kind = {"apiVersion": "x.example.com/v1", "kind": "Limit"}
    ref = {"paramRef": {"name": "n", "parameterNotFoundAction": "Allow"}}
    await validating(server, ref, validations=[{"expression": "params.x == 1"}], paramKind=kind)
    said = await server.ask("POST", MAPS, config_map())
    assert (
        said.message == f"{DENIED}failed to configure binding: paramKind kind `x.example.com/v1, Kind=Limit` not known"
    )


async def test_a_policy_cannot_lock_out_those_who_would_remove_it() -> None:
    server = await make_server()
    await validating(server, matchConstraints=rules("*/*", operations=("*",)), validations=[{"expression": "false"}])
    assert (await server.ask("POST", MAPS, config_map())).status == 422
    assert (await server.ask("DELETE", f"{GROUP}/validatingadmissionpolicybindings/b")).status == 200
    assert (await server.ask("POST", MAPS, config_map())).status == 201


# -- mutating


async def test_a_json_patch() -> None:
    server = await make_server()
    patch = "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'a/b': 'x'}}, JSONPatch{op: 'test', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'x'}]"
    await mutating(server, json_patch(patch))
    assert (await post(server, MAPS, config_map()))["metadata"]["labels"] == {"a/b": "x"}


async def test_an_apply_configuration_merges_by_the_keys_of_lists() -> None:
    server = await make_server()
    sidecar = "Object.spec.template.spec.containers{name: 'side', image: 'proxy:1'}"
    expression = f"Object{{spec: Object.spec{{template: Object.spec.template{{spec: Object.spec.template.spec{{containers: [{sidecar}]}}}}}}}}"
    await mutating(server, configuration(expression), matchConstraints=rules("deployments"))
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    containers = (await post(server, DEPLOYMENTS, body))["spec"]["template"]["spec"]["containers"]
    assert [(each["name"], each["image"], each["imagePullPolicy"]) for each in containers] == [
        ("c", "i:1", "IfNotPresent"),
        ("side", "proxy:1", "IfNotPresent"),
    ]


@pytest.mark.parametrize(
    ("mutation", "why"),
    [
        (
            json_patch("[JSONPatch{op: 'remove', path: '/data/zz'}]"),
            "error in remove for path: '/data/zz': Unable to remove nonexistent key: zz: missing value",
        ),
        (
            configuration("Object{metadata: Object.metadata{name: object.data.zz}}"),
            "expression 'Object{metadata: Object.metadata{name: object.data.zz}}' resulted in error: no such key: zz",
        ),
        (
            configuration("Object{wrong: 1}"),
            "error applying patch: failed to convert patch object to typed object: .wrong: field not declared in schema",
        ),
        (
            configuration("Object{metadata: Object.metadata{labels: Object.spec{x: 'y'}}}"),
            'unexpected type name "Object.spec", expected "Object.metadata.labels", which matches field name path from root Object type',
        ),
    ],
)
async def test_mutations_that_fail_deny_or_leave_nothing_behind(mutation: Obj, why: str) -> None:
    server = await make_server()
    first = json_patch("[JSONPatch{op: 'add', path: '/metadata/labels', value: {'half': 'done'}}]")
    await mutating(server, first, mutation)
    said = await server.ask("POST", MAPS, config_map(a="1"))
    assert (said.status, said.message) == (
        403,
        f"configmaps \"c\" is forbidden: policy 'p' with binding 'p' denied request: {why}",
    )
    ignoring = {"spec": {"failurePolicy": "Ignore"}}
    await server.ask("PATCH", f"{GROUP}/mutatingadmissionpolicies/p", ignoring, content_type=MERGE)
    assert "labels" not in (await post(server, MAPS, config_map(a="1")))["metadata"]


async def test_what_must_not_be_replaced_by_accident() -> None:
    server = await make_server()
    expression = "Object{subsets: [Object.subsets{addresses: []}]}"
    await mutating(server, configuration(expression), matchConstraints=rules("endpoints"))
    said = await server.ask("POST", "/api/v1/namespaces/shop/endpoints", {"metadata": {"name": "e"}})
    assert said.message.endswith("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .subsets")


async def test_policies_are_run_again_when_others_change_the_object() -> None:
    server = await make_server()
    counting = "Object{data: {'seen-' + string(size(object.data)): 'x'}}"
    await mutating(server, configuration(counting), name="a", reinvocationPolicy="IfNeeded")
    await mutating(
        server, json_patch("has(object.data.b) ? [] : [JSONPatch{op: 'add', path: '/data/b', value: '1'}]"), name="b"
    )
    assert set((await post(server, MAPS, config_map(a="1")))["data"]) == {"a", "seen-1", "b", "seen-3"}


async def test_mutations_come_before_the_defaults_of_others_and_before_judgement() -> None:
    server = await make_server()
    await mutating(server, configuration("Object{data: {'owner': request.userInfo.username}}"))
    await validating(server, validations=[{"expression": "object.data.owner == 'admin'"}])
    assert (await post(server, MAPS, config_map()))["data"] == {"owner": "admin"}


# -- who may write them

RBAC = "/apis/rbac.authorization.k8s.io/v1"


async def may(server: Server, **rule: list[str]) -> None:
    """Give jane a ClusterRole with policies, and this."""
    everything = {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]}
    rules = [everything, *([{"verbs": ["get"], "apiGroups": [""], **rule}] if rule else [])]
    await post(server, f"{RBAC}/clusterroles", {"metadata": {"name": "author"}, "rules": rules})
    subject = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "ClusterRole", "name": "author", "apiGroup": "rbac.authorization.k8s.io"}
    body = {"metadata": {"name": "author"}, "subjects": [subject], "roleRef": reference}
    await post(server, f"{RBAC}/clusterrolebindings", body)


@pytest.mark.parametrize(
    ("rule", "policy", "binding"),
    [
        ({}, 422, 422),
        ({"resources": ["secrets"]}, 422, 422),
        ({"resources": ["configmaps"], "resourceNames": ["limits"]}, 422, 201),
        ({"resources": ["configmaps"]}, 201, 201),
    ],
)
async def test_nobody_reads_through_a_policy_what_he_may_not_read(rule: Any, policy: int, binding: int) -> None:
    server = await make_server()
    await may(server, **rule)
    spec = {"matchConstraints": rules("configmaps"), "validations": [{"expression": "params.data.x == 'y'"}], **PARAMS}
    path = f"{GROUP}/validatingadmissionpolicies"
    said = await server.ask("POST", path, {"metadata": {"name": "p"}, "spec": spec}, token="jane")
    assert said.status == policy, said.body
    if policy != 201:
        assert said.body["details"]["causes"][0]["message"] == (
            'Forbidden: user jane must have "get" permission on all objects of the referenced paramKind '
            "(kind=ConfigMap, apiVersion=v1)"
        )
        await post(server, path, {"metadata": {"name": "p"}, "spec": spec})
    ref = {"name": "limits", "namespace": "shop", "parameterNotFoundAction": "Deny"}
    bound = {"policyName": "p", "validationActions": ["Deny"], "paramRef": ref}
    body = {"metadata": {"name": "b"}, "spec": bound}
    said = await server.ask("POST", f"{GROUP}/validatingadmissionpolicybindings", body, token="jane")
    assert said.status == binding, said.body
