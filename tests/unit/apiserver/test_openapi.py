"""OpenAPI documents have what kubectl and Helm look for in them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from wherry.api.scheme import Scheme
from wherry.apiserver.openapi import PROTOBUF, OpenAPI
from wherry.apiserver.serving import Serving

REFERENCE = Path(__file__).parents[2] / "reference"
V3 = "#/components/schemas/"


@pytest.fixture(scope="module")
def documents() -> OpenAPI:
    return OpenAPI(Serving(Scheme.load()))


@cache
def document(path: str, accept: str = "application/json") -> Any:
    answer = OpenAPI(Serving(Scheme.load())).document(path, accept)
    assert answer is not None
    assert answer.data is not None
    return json.loads(answer.data)


def test_the_index_lists_what_a_running_1_36_lists(documents: OpenAPI) -> None:
    index = document("/openapi/v3")["paths"]
    assert sorted(index) == sorted(json.loads((REFERENCE / "openapi-v3-paths.json").read_text()))
    url = index["apis/apps/v1"]["serverRelativeURL"]
    assert url.startswith("/openapi/v3/apis/apps/v1?hash=")
    assert len(url.rpartition("=")[2]) == 128
    for name in index:
        assert documents.document(f"/openapi/v3/{name}", "") is not None


def test_hashes_tell_versions_apart() -> None:
    other = OpenAPI(Serving(Scheme.load("1.33"))).document("/openapi/v3", "")
    assert other is not None
    assert other.data is not None
    hashes = {entry["serverRelativeURL"] for entry in json.loads(other.data)["paths"].values()}
    assert not hashes & {entry["serverRelativeURL"] for entry in document("/openapi/v3")["paths"].values()}


@pytest.mark.parametrize(
    "path", ["/openapi", "/openapi/v3/apis/nope/v1", "/openapi/v4", "/openapi/v3/apis/apps/v2", "/x"]
)
def test_nothing_elsewhere(documents: OpenAPI, path: str) -> None:
    assert documents.document(path, "") is None


def test_version_3_as_recorded() -> None:
    core = document("/openapi/v3/api/v1")
    assert core["openapi"] == "3.0.0"
    assert core["info"] == {"title": "Kubernetes", "version": "1.36"}
    read = core["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["get"]
    assert read["operationId"] == "readCoreV1NamespacedConfigMap"
    config_map = core["components"]["schemas"]["io.k8s.api.core.v1.ConfigMap"]
    assert config_map["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "ConfigMap", "version": "v1"}]
    assert config_map["properties"]["binaryData"]["additionalProperties"] == {"type": "string", "format": "byte"}
    assert config_map["properties"]["apiVersion"]["description"].startswith("APIVersion defines the versioned schema")
    schemas = document("/openapi/v3/apis/apps/v1")["components"]["schemas"]
    assert schemas["io.k8s.api.apps.v1.DeploymentStrategy"]["properties"]["rollingUpdate"] == {
        "description": "Rolling update config params. Present only if DeploymentStrategyType = RollingUpdate.",
        "allOf": [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.RollingUpdateDeployment"}],
    }
    assert schemas["io.k8s.api.apps.v1.DeploymentSpec"]["required"] == ["selector", "template"]


def test_defaults_merge_keys_and_values_of_two_types() -> None:
    schemas = document("/openapi/v3/api/v1")["components"]["schemas"]
    assert schemas["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"]["default"] == "TCP"
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["items"] == {"$ref": f"{V3}io.k8s.api.core.v1.Container"}
    assert schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["format"] == "int-or-string"
    assert schemas["io.k8s.apimachinery.pkg.api.resource.Quantity"]["oneOf"] == [{"type": "string"}, {"type": "number"}]


@pytest.mark.parametrize(
    ("path", "method", "operation_id"),
    [
        ("/apis/apps/v1/namespaces/{namespace}/deployments", "post", "createAppsV1NamespacedDeployment"),
        ("/apis/apps/v1/namespaces/{namespace}/deployments", "delete", "deleteAppsV1CollectionNamespacedDeployment"),
        ("/apis/apps/v1/deployments", "get", "listAppsV1DeploymentForAllNamespaces"),
        (
            "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale",
            "patch",
            "patchAppsV1NamespacedDeploymentScale",
        ),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}", "put", "replaceRbacAuthorizationV1ClusterRole"),
        ("/api/v1/namespaces/{namespace}/pods/{name}/exec", "get", "connectCoreV1GetNamespacedPodExec"),
        (
            "/api/v1/namespaces/{namespace}/pods/{name}/proxy/{path}",
            "get",
            "connectCoreV1GetNamespacedPodProxyWithPath",
        ),
        ("/api/v1/namespaces/{namespace}/pods/{name}/eviction", "post", "createCoreV1NamespacedPodEviction"),
        ("/api/v1/namespaces/{name}/finalize", "put", "replaceCoreV1NamespaceFinalize"),
        ("/api/v1/nodes/{name}", "get", "readCoreV1Node"),
    ],
)
def test_operation_ids(path: str, method: str, operation_id: str) -> None:
    assert document("/openapi/v2")["paths"][path][method]["operationId"] == operation_id
    group = "/".join(path.split("/")[1 : 4 if path.startswith("/apis") else 3])
    assert document(f"/openapi/v3/{group}")["paths"][path][method]["operationId"] == operation_id


def test_what_kubectl_asks_before_it_trusts_the_server_to_validate() -> None:
    patch = document("/openapi/v3/apis/apps/v1")["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"][
        "patch"
    ]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert {"fieldValidation", "dryRun", "fieldManager"} <= {parameter["name"] for parameter in patch["parameters"]}
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    assert all(parameter["schema"]["type"] for parameter in patch["parameters"])


@pytest.mark.parametrize("version", ["1.25", "1.36", "1.37"])
def test_every_reference_has_its_schema(version: str) -> None:
    documents = OpenAPI(Serving(Scheme.load(version)))
    for name in documents.names:
        made = documents.version_3(name)
        for reference in references(made):
            assert reference.removeprefix(V3) in made["components"]["schemas"]
    swagger = documents.version_2()
    for reference in references(swagger):
        assert reference.removeprefix("#/definitions/") in swagger["definitions"]


@pytest.mark.parametrize("version", [2, 3])
def test_operation_ids_are_unique(version: int) -> None:
    documents = OpenAPI(Serving(Scheme.load()))
    made = [documents.version_2()] if version == 2 else [documents.version_3(name) for name in documents.names]
    ids = [
        operation["operationId"]
        for each in made
        for place in each["paths"].values()
        for operation in place.values()
        if isinstance(operation, dict) and "operationId" in operation
    ]
    assert len(ids) == len(set(ids)) > 500


def references(value: Any) -> list[str]:
    found: list[str] = []
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            found.append(value["$ref"])
        for child in value.values():
            found += references(child)
    elif isinstance(value, list):
        for child in value:
            found += references(child)
    return found


def test_version_2() -> None:
    swagger = document("/openapi/v2")
    assert (swagger["swagger"], swagger["info"]) == ("2.0", {"title": "Kubernetes", "version": "1.36"})
    assert swagger["definitions"]["io.k8s.api.core.v1.ConfigMap"]["type"] == "object"
    assert swagger["definitions"]["io.k8s.api.core.v1.PodSpec"]["required"] == ["containers"]
    assert swagger["definitions"]["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["type"] == "string"
    spec = swagger["definitions"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"]
    assert spec["$ref"] == "#/definitions/io.k8s.api.apps.v1.DeploymentStrategy"
    assert spec["x-kubernetes-patch-strategy"] == "retainKeys"
    create = swagger["paths"]["/api/v1/namespaces/{namespace}/pods"]["post"]
    assert create["parameters"][0] == {
        "name": "body",
        "in": "body",
        "required": True,
        "schema": {"$ref": "#/definitions/io.k8s.api.core.v1.Pod"},
    }


def fields(data: bytes) -> dict[int, list[Any]]:
    """A protobuf message read back without its schema."""
    found: dict[int, list[Any]] = {}
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(data):
        key = varint()
        value: Any = varint()
        if key & 7 == 2:
            position += value
            value = data[position - value : position]
        found.setdefault(key >> 3, []).append(value)
    return found


@pytest.mark.parametrize("accept", [PROTOBUF, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"])
def test_version_2_as_protobuf(documents: OpenAPI, accept: str) -> None:
    answer = documents.document("/openapi/v2", accept)
    assert answer is not None
    assert answer.content_type == PROTOBUF
    assert answer.data is not None
    message = fields(answer.data)
    assert message[1] == [b"2.0"]
    definitions = {fields(each)[1][0].decode(): fields(each)[2][0] for each in fields(message[9][0])[1]}
    assert definitions.keys() == document("/openapi/v2")["definitions"].keys()
    deployment = fields(definitions["io.k8s.api.apps.v1.Deployment"])
    assert fields(deployment[22][0])[1] == [b"object"]
    extension = fields(deployment[31][0])
    assert extension[1] == [b"x-kubernetes-group-version-kind"]
    assert json.loads(fields(extension[2][0])[2][0]) == [{"group": "apps", "kind": "Deployment", "version": "v1"}]
    paths = {fields(each)[1][0].decode() for each in fields(message[8][0])[2]}
    assert paths == document("/openapi/v2")["paths"].keys()
