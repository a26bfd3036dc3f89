"""Unknown fields and wrong types are named as Kubernetes' decoder names them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from wherry.api import structure
from wherry.api.schema import Schema
from wherry.api.scheme import Scheme
from wherry.api.types import Obj


def schema(kind: str, api_version: str = "v1") -> Schema:
    found = Scheme.load().schema_of(api_version, kind)
    assert found is not None
    return found


def pod(**spec: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def test_unknown_fields_have_paths() -> None:
    obj = pod(containers=[{"name": "c", "imagee": "x", "resources": {"limit": {}}}], restartpolicy="Never")
    obj["Metadata"] = {}
    before = copy.deepcopy(obj)
    findings = structure.check(obj, schema("Pod"))
    assert findings.error == ""
    assert obj == before
    assert findings.strict_messages() == [
        'unknown field "spec.containers[0].imagee"',
        'unknown field "spec.containers[0].resources.limit"',
        'unknown field "spec.restartpolicy"',
        'unknown field "Metadata"',
    ]
    assert structure.normalise(obj, schema("Pod")).unknown == findings.unknown
    assert obj["spec"] == {"containers": [{"name": "c", "resources": {}}]}


@pytest.mark.parametrize(
    ("kind", "obj", "error"),
    [
        ("Pod", {"spec": {"containers": [{"ports": [{"containerPort": "80"}]}]}},
         "cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32"),
        ("Pod", {"spec": {"containers": [{"ports": [{"containerPort": 80.5}]}]}},
         "cannot unmarshal number 80.5 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32"),
        ("Pod", {"spec": {"containers": [{"env": [{"name": "A", "value": True}]}]}},
         "cannot unmarshal bool into Go struct field EnvVar.spec.containers.env.value of type string"),
        ("Pod", {"spec": {"enableServiceLinks": "yes"}},
         "cannot unmarshal string into Go struct field PodSpec.spec.enableServiceLinks of type bool"),
        ("Pod", {"metadata": {"labels": {"k": 1}}},
         "cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"),
        ("Pod", {"spec": "x"}, "cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec"),
        ("Pod", {"spec": {"containers": {}}},
         "cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"),
        ("Pod", {"spec": {"restartPolicy": 1}},
         "cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy"),
        ("Pod", {"spec": {"priority": 2**31}},
         "cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32"),
        ("ConfigMap", {"data": ["a"]}, "cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string"),
        ("ConfigMap", {"data": {"a": 1}}, "cannot unmarshal number into Go struct field ConfigMap.data of type string"),
    ],
)  # fmt: skip
def test_types(kind: str, obj: Obj, error: str) -> None:
    assert structure.check(obj, schema(kind)).error == f"json: {error}"


def test_int_or_string_and_free_form() -> None:
    rolling = {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 1.5}}}}
    assert structure.check(rolling, schema("Deployment", "apps/v1")).error == (
        "json: cannot unmarshal number 1.5 into Go struct field"
        " RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32"
    )
    free = {"data": {"anything": [None, {"goes": []}]}, "revision": 1}
    assert structure.normalise(free, schema("ControllerRevision", "apps/v1")) == structure.Findings()
    assert free == {"data": {"anything": [None, {"goes": []}]}, "revision": 1}


def test_values_with_a_form_of_their_own() -> None:
    quantities = pod(containers=[{"resources": {"limits": {"cpu": "abc"}}}])
    assert structure.check(quantities, schema("Pod")).error.startswith("quantities must match the regular expression")
    assert (
        structure.check({"binaryData": {"a": "!"}}, schema("ConfigMap")).error == "illegal base64 data at input byte 0"
    )
    lease: Obj = {"spec": {"renewTime": "2020-01-02T03:04:05Z"}}
    assert structure.check(lease, schema("Lease", "coordination.k8s.io/v1")).error == (
        'parsing time "2020-01-02T03:04:05Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"'
    )


def test_normal_form() -> None:
    obj = pod(
        containers=[
            {
                "name": "c",
                "command": [],
                "env": [{"name": "A", "value": None}],
                "resources": {
                    "requests": {"cpu": 1, "memory": "1024Mi", "ephemeral-storage": "1e3"},
                    "limits": {"cpu": "0.1m"},
                },
            }
        ],
        nodeSelector={},
        volumes=[{"name": "v", "emptyDir": {}}],
        tolerations=None,
    )
    obj["metadata"] |= {"creationTimestamp": None, "labels": {}, "deletionTimestamp": "2020-01-01T02:00:00+02:00"}
    assert structure.normalise(obj, schema("Pod")) == structure.Findings()
    assert obj["metadata"] == {"name": "p", "deletionTimestamp": "2020-01-01T00:00:00Z"}
    (container,) = obj["spec"].pop("containers")
    assert obj["spec"] == {"volumes": [{"name": "v", "emptyDir": {}}]}
    assert container == {
        "name": "c",
        "env": [{"name": "A"}],
        "resources": {"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1e3"}, "limits": {"cpu": "1m"}},
    }


def test_strict_messages_come_once() -> None:
    findings = structure.check({"data": {"a": "1"}, "foo": {"b": 1}}, schema("ConfigMap"))
    duplicates = ["data.a", "foo.b"]
    assert structure.strict_warnings(duplicates, findings) == ['duplicate field "data.a"', 'unknown field "foo"']
    assert structure.strict_warnings([], structure.Findings()) == []


def test_findings_are_bounded() -> None:
    findings = structure.check({f"x{number}": 1 for number in range(1000)}, schema("ConfigMap"))
    assert len(findings.unknown) == structure.UNKNOWN_MAX
    deep: Obj = {}
    for _ in range(1000):
        deep = {"not": deep}
    props = Scheme.load().definitions.schema("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
    assert structure.check(deep, props).error == "json: exceeded max depth"
