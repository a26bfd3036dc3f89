"""What the API server answers when asked who may do what, and who is asking."""

from __future__ import annotations

from typing import Any

import pytest
from api_core import Server, make_server

RBAC = "/apis/rbac.authorization.k8s.io/v1"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"
LIST_PODS = {"verb": "list", "resource": "pods", "namespace": "shop"}


async def bound(server: Server, role: str, kind: str, subject: str, namespace: str = "shop") -> None:
    body = {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "User", "name": subject}],
    }
    assert (await server.ask("POST", f"{RBAC}/namespaces/{namespace}/rolebindings", body)).status == 201


async def test_the_rules_of_a_user_in_a_namespace() -> None:
    server = await make_server()
    rules = [
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]},
        {"verbs": ["get"], "nonResourceURLs": ["/x"]},
    ]
    await server.ask("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "reader"}, "rules": rules})
    await bound(server, "reader", "ClusterRole", "joe")
    await bound(server, "gone", "Role", "joe")
    path = f"{AUTHORIZATION}/selfsubjectrulesreviews"
    said = await server.ask("POST", path, {"spec": {"namespace": "shop"}}, Impersonate_User="joe")
    assert said.status == 403, "nobody bound system:basic-user in this server"
    said = await server.ask(
        "POST", path, {"spec": {"namespace": "shop"}}, Impersonate_User="joe", Impersonate_Group="system:masters"
    )
    assert said.body["spec"] == {}
    assert said.body["status"] == {
        "resourceRules": rules[:1],
        "nonResourceRules": [],
        "incomplete": False,
        "evaluationError": 'role.rbac.authorization.k8s.io "gone" not found',
    }
    assert (await server.ask("POST", path, {"spec": {}})).message == "no namespace on request"


async def test_a_missing_role_is_named() -> None:
    server = await make_server()
    await bound(server, "gone", "ClusterRole", "jane")
    said = await server.ask("GET", "/api/v1/namespaces/shop/pods", token="jane")
    assert said.message.endswith(
        'in the namespace "shop": RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'
    )
    review = {"spec": {"user": "jane", "resourceAttributes": LIST_PODS}}
    said = await server.ask("POST", f"{AUTHORIZATION}/subjectaccessreviews", review)
    assert said.body["status"] == {
        "allowed": False,
        "reason": 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found',
    }


EXACTLY = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
PATH = {"path": "/x", "verb": "get"}
BOTH = 'Invalid value: {"Path":"/x","Verb":"get"}: cannot be specified in combination with resourceAttributes'
FIELDS = "spec.resourceAttributes.fieldSelector"
NEEDED = f"Required value: when {FIELDS} is specified, requirements or rawSelector is required"
VALUES = "Required value: must be specified when `operator` is 'In' or 'NotIn'"


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        ({"user": "u"}, [("spec.resourceAttributes", EXACTLY)]),
        (
            {"user": "u", "resourceAttributes": {}, "nonResourceAttributes": PATH},
            [("spec.nonResourceAttributes", BOTH)],
        ),
        (
            {"resourceAttributes": LIST_PODS},
            [("spec.user", 'Invalid value: "": at least one of user or group must be specified')],
        ),
        ({"user": "u", "resourceAttributes": {"fieldSelector": {}}}, [(f"{FIELDS}.requirements", NEEDED)]),
        (
            {"user": "u", "resourceAttributes": {"fieldSelector": {"requirements": [{"key": "a", "operator": "In"}]}}},
            [(f"{FIELDS}.requirements[0].values", VALUES)],
        ),
    ],
)
async def test_what_a_review_must_say(spec: dict[str, Any], causes: list[tuple[str, str]]) -> None:
    server = await make_server()
    said = await server.ask("POST", f"{AUTHORIZATION}/subjectaccessreviews", {"spec": spec})
    assert said.status == 422
    assert [(each["field"], each["message"]) for each in said.body["details"]["causes"]] == causes
    assert "kind" not in said.body["details"]


async def test_a_local_review_is_of_its_namespace() -> None:
    server = await make_server()
    path = f"{AUTHORIZATION}/namespaces/shop/localsubjectaccessreviews"
    said = await server.ask("POST", path, {"spec": {"user": "jane", "resourceAttributes": LIST_PODS}})
    assert (said.status, said.body["metadata"]["namespace"], said.body["status"]) == (201, "shop", {"allowed": False})
    elsewhere = {**LIST_PODS, "namespace": "default"}
    said = await server.ask("POST", path, {"spec": {"user": "jane", "resourceAttributes": elsewhere}})
    assert said.message.endswith('Invalid value: "default": must match metadata.namespace')
    said = await server.ask("POST", path, {"spec": {"user": "jane", "nonResourceAttributes": PATH}})
    assert said.message.endswith("disallowed on this kind of request")
    said = await server.ask(
        "POST", path, {"metadata": {"namespace": "x"}, "spec": {"user": "jane", "resourceAttributes": LIST_PODS}}
    )
    assert said.status == 400


NODE = {"Impersonate_User": "system:node:n1", "Impersonate_Group": "system:nodes"}


async def test_a_node_reads_what_its_pods_use() -> None:
    server = await make_server()
    core = "/api/v1/namespaces/shop"
    await server.ask("POST", f"{core}/serviceaccounts", {"metadata": {"name": "default"}})
    spec = {
        "nodeName": "n1",
        "containers": [
            {
                "name": "c",
                "image": "i",
                "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "e", "key": "k"}}}],
            }
        ],
        "volumes": [
            {"name": "v", "projected": {"sources": [{"configMap": {"name": "p"}}, {"secret": {"name": "s"}}]}},
            {"name": "w", "persistentVolumeClaim": {"claimName": "d"}},
        ],
    }
    said = await server.ask("POST", f"{core}/pods", {"metadata": {"name": "a"}, "spec": spec})
    assert said.status == 201, said.body
    used = ("secrets/e", "secrets/s", "configmaps/p", "persistentvolumeclaims/d", "pods/a", "serviceaccounts/default")
    for what in used:
        assert (await server.ask("GET", f"{core}/{what}", **NODE)).status in (200, 404), what
        other = {**NODE, "Impersonate_User": "system:node:n2"}
        said = await server.ask("GET", f"{core}/{what}", **other)
        assert said.message.endswith("no relationship found between node 'n2' and this object"), what
    for what in ("secrets/x", "configmaps/e", "pods/b"):
        assert (await server.ask("GET", f"{core}/{what}", **NODE)).status == 403
    assert (await server.ask("GET", "/api/v1/secrets", **NODE)).message.endswith(
        "can only read namespaced object of this type"
    )
    assert (await server.ask("GET", f"{core}/secrets?fieldSelector=metadata.name%3De", **NODE)).status == 200
    assert (await server.ask("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", **NODE)).status == 200
    assert (await server.ask("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2", **NODE)).status == 403
    assert (await server.ask("DELETE", f"{core}/pods/a?gracePeriodSeconds=0", **NODE)).status == 200
    assert (await server.ask("GET", f"{core}/secrets/e", **NODE)).status == 403, "the pod is gone"


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", "/api/v1/nodes", {"metadata": {"name": "n2"}}, 'node "n1" is not allowed to modify node "n2"'),
        (
            "POST",
            "/api/v1/nodes",
            {"metadata": {"name": "n1", "labels": {"node-role.kubernetes.io/x": "", "zone": "a"}}},
            "is not allowed to set the following labels: node-role.kubernetes.io/x",
        ),
        (
            "POST",
            "/api/v1/namespaces/shop/pods",
            {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
            'pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods',
        ),
        (
            "POST",
            "/apis/coordination.k8s.io/v1/namespaces/shop/leases",
            {"metadata": {"name": "n1"}},
            'can only access leases in the "kube-node-lease" system namespace',
        ),
    ],
)
async def test_a_node_writes_what_is_its_own(method: str, path: str, body: dict[str, Any], said: str) -> None:
    server = await make_server()
    await server.ask("POST", "/api/v1/namespaces/shop/serviceaccounts", {"metadata": {"name": "default"}})
    answer = await server.ask(method, path, body, **NODE)
    assert (answer.status, answer.message.endswith(said)) == (403, True), answer.message


async def test_a_node_gets_tokens_for_its_pods_only() -> None:
    server = await make_server()
    core = "/api/v1/namespaces/shop"
    await server.ask("POST", f"{core}/serviceaccounts", {"metadata": {"name": "default"}})
    sources = [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v", "projected": {"sources": sources}}]}
    pods = {}
    for name, node in (("a", "n1"), ("b", "n2")):
        body = {"metadata": {"name": name}, "spec": {**spec, "nodeName": node}}
        pods[name] = (await server.ask("POST", f"{core}/pods", body)).body["metadata"]

    async def refusal(pod: str, **spec: Any) -> str:
        reference = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": pods[pod]["uid"]}
        body = {"spec": {"boundObjectRef": reference, **spec}}
        said = await server.ask("POST", f"{core}/serviceaccounts/default/token", body, **NODE)
        return "" if said.status == 201 else said.message.partition(": ")[2]

    assert await refusal("a", audiences=["vault"]) == ""
    assert await refusal("a") == "", "its own volume with a token for the API was mounted at admission"
    assert await refusal("a", boundObjectRef=None) == "node requested token not bound to a pod"
    assert await refusal("b") == "node requested token bound to a pod scheduled on a different node"
    assert await refusal("a", audiences=["x", "y"]) == "node may only request 0 or 1 audiences"
    who = "system:node:n1 is not authorized to request tokens for this audience"
    assert await refusal("a", audiences=["x"]) == f'audience "x" not found in pod spec volume, {who}'


async def test_a_list_of_one_name_is_allowed_by_that_name() -> None:
    server = await make_server()
    rules = [{"verbs": ["list", "watch"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"]}]
    await server.ask("POST", f"{RBAC}/namespaces/shop/roles", {"metadata": {"name": "r"}, "rules": rules})
    await bound(server, "r", "Role", "jane")
    secrets = "/api/v1/namespaces/shop/secrets"
    assert (await server.ask("GET", f"{secrets}?fieldSelector=metadata.name%3Done", token="jane")).status == 200
    for query in ("", "?fieldSelector=metadata.name%3Dtwo", "?fieldSelector=metadata.name!%3Done"):
        assert (await server.ask("GET", f"{secrets}{query}", token="jane")).status == 403
