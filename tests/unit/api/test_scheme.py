"""The table of resources is the one a running Kubernetes 1.36 serves; schemas resolve lazily into one shared tree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wherry.api import resources
from wherry.api.scheme import Resource, Scheme
from wherry.api.types import GVR

REFERENCE = Path(__file__).parents[2] / "reference"


def as_recorded(resource: Resource) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "group": resource.group,
        "version": resource.version,
        "resource": resource.resource,
        "kind": resource.kind,
        "namespaced": resource.namespaced,
        "verbs": list(resource.verbs),
        "singularResource": resource.singular,
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "kind": sub.kind,
                "verbs": list(sub.verbs),
                "gv": ""
                if (sub.group, sub.version) == (resource.group, resource.version)
                else f"{sub.group}/{sub.version}",
            }
            for sub in resource.subresources
        ]
    return entry


def test_the_default_version_serves_exactly_what_was_recorded() -> None:
    recorded = json.loads((REFERENCE / "resources.json").read_text())
    served = [as_recorded(resource) for resource in Scheme.load().resources.values()]
    assert sorted(served, key=str) == sorted(recorded, key=str)
    order = dict.fromkeys(entry["group"] for entry in recorded)
    assert list(order) == [group.name for group in Scheme.load().groups()]


@pytest.mark.parametrize("version", Scheme.versions())
def test_every_version_resolves(version: str) -> None:
    scheme = Scheme.load(version)
    assert scheme.version == version
    assert Scheme.load(version) is scheme
    for resource in scheme.resources.values():
        schema = scheme.schema(resource)
        assert schema.type == "object"
        assert schema.fields is not None
        assert "alpha" not in resource.version
        for sub in resource.subresources:
            assert scheme.schema(sub).type == "object"
    pods = scheme.resource(resources.PODS)
    assert pods is not None
    assert {"exec", "attach", "portforward", "log", "binding", "eviction"} <= {sub.name for sub in pods.subresources}


@pytest.mark.parametrize(
    "name", [name for name in dir(resources) if name.isupper() and "METRICS" not in name and name != "GVR"]
)
def test_resources_we_name_are_served(name: str) -> None:
    assert Scheme.load().resource(getattr(resources, name)) is not None


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.24"):
        Scheme.load("1.24")


def test_versions_differ_as_their_releases_did() -> None:
    old = GVR("autoscaling", "v2beta2", "horizontalpodautoscalers")
    assert Scheme.load("1.25").resource(old)
    assert not Scheme.load("1.26").resource(old)
    assert not Scheme.load("1.32").group("resource.k8s.io")
    assert Scheme.load("1.34").group("resource.k8s.io")
    group = Scheme.load("1.29").group("flowcontrol.apiserver.k8s.io")
    assert group is not None
    assert group.versions == ("v1", "v1beta3")
    assert group.preferred == "v1"


def test_schema_says_how_fields_merge() -> None:
    scheme = Scheme.load()
    deployment = scheme.by_kind("apps/v1", "Deployment")
    assert deployment is not None
    spec = scheme.schema(deployment).fields["spec"]  # type: ignore[index]
    assert spec.fields is not None
    assert spec.fields["strategy"].patch_strategy == ("retainKeys",)
    assert spec.required == ("selector", "template")
    pod = spec.fields["template"].fields["spec"]  # type: ignore[index]
    containers = pod.fields["containers"]  # type: ignore[index]
    assert (containers.type, containers.patch_strategy, containers.patch_merge_key) == ("array", ("merge",), "name")
    assert (containers.list_type, containers.list_map_keys) == ("map", ("name",))
    container = containers.items
    assert container is not None
    assert container.fields is not None
    assert container.ref == "io.k8s.api.core.v1.Container"
    ports = container.fields["ports"]
    assert ports.list_map_keys == ("containerPort", "protocol")
    limits = container.fields["resources"].fields["limits"]  # type: ignore[index]
    assert limits.fields is None
    assert limits.values is not None
    assert limits.values.type == "quantity"
    probe = container.fields["livenessProbe"].fields["httpGet"].fields["port"]  # type: ignore[index]
    assert probe.type == "int-or-string"
    volumes = pod.fields["volumes"]  # type: ignore[index]
    assert volumes.patch_strategy == ("merge", "retainKeys")
    assert pod.fields["nodeSelector"].map_type == "atomic"  # type: ignore[index]
    assert container.fields["ports"].items.fields["hostPort"].format == "int32"  # type: ignore[union-attr,index]


def test_schemas_are_shared_and_may_be_recursive() -> None:
    scheme = Scheme.load()
    crd = scheme.by_kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert crd is not None
    assert scheme.schema(crd) is scheme.schema(crd)
    props = scheme.definitions.schema("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
    assert props.fields is not None
    again = props.fields["not"]
    assert again.fields is props.fields
    assert props.fields["default"].type == "any"


def test_other_kinds_of_the_wire_have_schemas() -> None:
    scheme = Scheme.load()
    for api_version, kind in [
        ("autoscaling/v1", "Scale"),
        ("policy/v1", "Eviction"),
        ("v1", "DeleteOptions"),
        ("v1", "PodList"),
    ]:
        assert scheme.schema_of(api_version, kind) is not None
    assert scheme.schema_of("v1", "Nonsense") is None


def test_descriptions_are_there_for_explain() -> None:
    scheme = Scheme.load()
    assert scheme.definitions.schema("io.k8s.api.core.v1.Pod").description.startswith(
        "Pod is a collection of containers"
    )
    (_, fields) = scheme.prose.descriptions["io.k8s.api.core.v1.Container"]
    assert fields["image"]
    assert scheme.prose.defaults["io.k8s.api.core.v1.ContainerPort"]["protocol"] == "TCP"
