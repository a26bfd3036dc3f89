"""What PUT and DELETE answer differs from kind to kind: who may be made by PUT, must say its version, is shown when gone."""

from __future__ import annotations

import random
from typing import Any

import pytest
from api_core import make_server

from wherry.apiserver.registry.allocation import service_allocators

RULES = "/apis/rbac.authorization.k8s.io/v1"
REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
HOOKS = "/apis/admissionregistration.k8s.io/v1"
STORAGE = "/apis/storage.k8s.io/v1"
SPREAD = {"maxUnavailable": 1}
ATTACHED = {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
CAPACITY = {"storageClassName": "a"}
POLICY = {"validations": [{"expression": "true"}], "matchConstraints": {"resourceRules": [{"operations": ["*"]}]}}
POLICY["matchConstraints"]["resourceRules"][0] |= {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
BOUND = {"policyName": "p", "validationActions": ["Deny"]}
SERVICE = {"spec": {"ports": [{"port": 80}]}}
SERVED = {"spec": {"group": "g.example", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}}
SERVED["spec"] |= {"service": {"name": "s", "namespace": "shop"}, "insecureSkipTLSVerify": True}
BUDGETS = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets"
CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"


async def server() -> Any:
    return await make_server(allocators=service_allocators([], random.Random(1)))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/v1/namespaces/shop/endpoints", {}, 201),
        ("/api/v1/namespaces/shop/limitranges", {"spec": {"limits": []}}, 201),
        ("/api/v1/namespaces/shop/services", SERVICE, 201),
        (f"{RULES}/namespaces/shop/roles", {}, 201),
        (f"{RULES}/clusterroles", {}, 201),
        (f"{RULES}/namespaces/shop/rolebindings", {"roleRef": REF}, 201),
        (f"{RULES}/clusterrolebindings", {"roleRef": REF}, 201),
        (CLASSES, {"handler": "h"}, 201),
        ("/apis/coordination.k8s.io/v1/namespaces/shop/leases", {}, 201),
        ("/api/v1/namespaces/shop/configmaps", {}, 404),
        ("/api/v1/namespaces/shop/secrets", {}, 404),
        (f"{STORAGE}/storageclasses", {"provisioner": "p"}, 404),
        (BUDGETS, {"spec": SPREAD}, 404),
    ],
)
async def test_some_kinds_are_made_by_put(path: str, body: Any, status: int) -> None:
    api = await server()
    answer = await api.ask("PUT", f"{path}/x", {"metadata": {"name": "x"}, **body})
    assert answer.status == status, answer.body


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CLASSES, {"handler": "h"}),
        (BUDGETS, {"spec": SPREAD}),
        (f"{STORAGE}/volumeattachments", {"spec": ATTACHED}),
        (f"{STORAGE}/csinodes", {"spec": {}}),
        (f"{STORAGE}/csidrivers", {"spec": {}}),
        (f"{STORAGE}/namespaces/shop/csistoragecapacities", CAPACITY),
        (f"{HOOKS}/validatingwebhookconfigurations", {}),
        (f"{HOOKS}/mutatingwebhookconfigurations", {}),
        (f"{HOOKS}/validatingadmissionpolicies", {"spec": POLICY}),
        (f"{HOOKS}/validatingadmissionpolicybindings", {"spec": BOUND}),
    ],
)
async def test_some_kinds_are_not_replaced_without_a_version(path: str, body: Any) -> None:
    api = await server()
    obj = {"metadata": {"name": "x"}, **body}
    made = await api.ask("POST", path, obj)
    assert made.status == 201, made.body
    blind = await api.ask("PUT", f"{path}/x", obj)
    assert (blind.status, [cause["field"] for cause in blind.body["details"]["causes"]]) == (
        422,
        ["metadata.resourceVersion"],
    )
    assert "must be specified for an update" in blind.body["message"]
    obj["metadata"] = made.body["metadata"] | {"labels": {"a": "b"}}
    assert (await api.ask("PUT", f"{path}/x", obj)).status == 200
    patch = {"metadata": {"labels": {"a": "c"}}}
    assert (await api.ask("PATCH", f"{path}/x", patch, content_type="application/merge-patch+json")).status == 200


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        (f"{STORAGE}/storageclasses", {"provisioner": "p"}, "StorageClass"),
        (f"{STORAGE}/csidrivers", {"spec": {}}, "CSIDriver"),
        (f"{STORAGE}/csinodes", {"spec": {}}, "CSINode"),
        (f"{STORAGE}/volumeattachments", {"spec": ATTACHED}, "VolumeAttachment"),
        ("/apis/resource.k8s.io/v1/deviceclasses", {"spec": {}}, "DeviceClass"),
        ("/api/v1/namespaces/shop/services", SERVICE, "Service"),
        (f"{STORAGE}/namespaces/shop/csistoragecapacities", CAPACITY, "Status"),
        ("/api/v1/namespaces/shop/configmaps", {}, "Status"),
        (CLASSES, {"handler": "h"}, "Status"),
    ],
)
async def test_some_kinds_are_shown_when_they_are_gone(path: str, body: Any, kind: str) -> None:
    api = await server()
    assert (await api.ask("POST", path, {"metadata": {"name": "x"}, **body})).status == 201
    gone = await api.ask("DELETE", f"{path}/x")
    assert (gone.status, gone.body["kind"]) == (200, kind)


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({"apiVersion": "v1", "metadata": {"name": "x"}}, "/v1, Kind="),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}, "/v1, Kind=Secret"),
        ({"apiVersion": "apps/v1", "kind": "ConfigMap", "metadata": {"name": "x"}}, "apps/v1, Kind=ConfigMap"),
        ({"apiVersion": "a/b/c", "kind": "ConfigMap", "metadata": {"name": "x"}}, "/, Kind="),
        (b"", "/, Kind="),
    ],
)
async def test_what_is_applied_is_of_the_path_s_kind(configuration: Any, said: str) -> None:
    api = await server()
    path = "/api/v1/namespaces/shop/configmaps/x?fieldManager=m"
    answer = await api.ask("PATCH", path, configuration, content_type="application/apply-patch+yaml")
    assert (answer.status, answer.body["message"]) == (400, f"invalid object type: {said}")


async def test_a_csi_node_without_drivers_says_null() -> None:
    api = await server()
    made = await api.ask("POST", f"{STORAGE}/csinodes", {"metadata": {"name": "x"}, "spec": {}})
    assert made.body["spec"] == {"drivers": None}
    assert "managedFields" not in made.body["metadata"]
