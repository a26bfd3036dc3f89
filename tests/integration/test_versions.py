"""`--kubernetes-version 1.25 … 1.37`: each starts, says who it is, works with kubectl and controllers; state goes from one to
another."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from client_world import eventually
from control_plane_process import ControlPlane
from kubectl_tool import PROGRAMS, WEB, Kubectl

from wherry.cluster.options import KUBERNETES_VERSIONS

RELEASES = dict(zip(KUBERNETES_VERSIONS, cycle(PROGRAMS or ["none"]), strict=False))
"""Which kubectl speaks to which version: each in turn."""
RECREATED = {("endpointslices", "default/kubernetes"), ("leases", "kube-system/kube-scheduler")}
"""What a control plane may write anew at each start."""


def stored(plane: ControlPlane) -> dict[tuple[str, str], str]:
    """(resource, namespace/name) -> uid of every object of every served resource, by LIST, GET and as a Table."""
    found: dict[tuple[str, str], str] = {}
    groups = plane.ask("GET", "/apis").body["groups"]
    roots = ["/api/v1", *(f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"])]
    for root in roots:
        for resource in plane.ask("GET", root).body["resources"]:
            if "/" in resource["name"] or "list" not in resource["verbs"] or "watch" not in resource["verbs"]:
                continue
            said = plane.ask("GET", f"{root}/{resource['name']}")
            assert said.status == 200, (root, resource["name"], said.body)
            for item in said.body["items"]:
                namespace, name = item["metadata"].get("namespace", ""), item["metadata"]["name"]
                found[resource["name"], f"{namespace}/{name}"] = item["metadata"]["uid"]
            table = plane.ask(
                "GET", f"{root}/{resource['name']}", Accept="application/json;as=Table;v=v1;g=meta.k8s.io"
            )
            assert (table.status, table.body["kind"]) == (200, "Table"), (root, resource["name"])
    return found


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_each_version(version: str, tmp_path: Path) -> None:
    with ControlPlane(tmp_path, version) as plane:
        said = plane.ask("GET", "/version").body
        assert (f"{said['major']}.{said['minor']}", said["gitVersion"].startswith(f"v{version}.")) == (version, True)
        assert stored(plane)
        minor = int(version.split(".")[1])
        # From the release notes: what appeared and what went away.
        assert plane.ask("GET", "/apis/flowcontrol.apiserver.k8s.io/v1").status == (200 if minor >= 29 else 404)
        assert plane.ask("GET", "/apis/resource.k8s.io/v1").status == (200 if minor >= 34 else 404)
        assert plane.ask("GET", "/apis/autoscaling/v2beta2").status == (200 if minor < 26 else 404)
        document = plane.ask("GET", "/openapi/v2").body
        assert document["info"]["version"] == version
        assert "io.k8s.api.apps.v1.Deployment" in document["definitions"]
        if PROGRAMS:
            _use_kubectl(Kubectl(PROGRAMS[RELEASES[version]], plane.kubeconfig, tmp_path))
        assert plane.tracebacks() == ""


def _use_kubectl(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=WEB)
    kubectl("wait", "--for=jsonpath={.status.replicas}=2", "deployment/web", "--timeout=50s")
    assert len(kubectl("get", "pods", "-l", "app=web", "-o", "name").split()) == 2
    eventually(lambda: "ScalingReplicaSet" in kubectl("describe", "deployment", "web"))
    assert "replicas" in kubectl("explain", "deployment.spec")
    kubectl("create", "configmap", "c", "--from-literal=a=b")
    assert "configured" in kubectl("apply", "-f", "-", stdin=WEB.replace("nginx:1", "nginx:2"))
    kubectl("delete", "deployment/web", "service/web", "configmap/c")
    eventually(lambda: kubectl("get", "deploy,svc,rs", "-l", "app=web", "-o", "name") == "")


def _objects(version: str) -> list[tuple[str, dict[str, Any]]]:
    name = f"made-by-{version.replace('.', '-')}"
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    job = {"spec": {"template": {"spec": pod}}}
    default = "namespaces/default"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}
    backend = {"service": {"name": "x", "port": {"number": 80}}}
    attachment = {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    event = {"regarding": {"kind": "Pod", "namespace": "default"}, "reason": "R", "type": "Normal", "action": "A"}
    event |= {"reportingController": "example.com/c", "reportingInstance": "i"}
    bodies: list[tuple[str, dict[str, Any]]] = [
        (f"/api/v1/{default}/configmaps", {"data": {"a": version}}),
        (f"/api/v1/{default}/services", {"spec": {"ports": [{"port": 80}]}}),
        (
            f"/apis/autoscaling/v2/{default}/horizontalpodautoscalers",
            {"spec": {"maxReplicas": 3, "scaleTargetRef": target}},
        ),
        (f"/apis/policy/v1/{default}/poddisruptionbudgets", {"spec": {"minAvailable": 1}}),
        (f"/apis/batch/v1/{default}/cronjobs", {"spec": {"schedule": "0 0 1 1 *", "jobTemplate": job}}),
        (f"/apis/networking.k8s.io/v1/{default}/ingresses", {"spec": {"defaultBackend": backend}}),
        ("/apis/scheduling.k8s.io/v1/priorityclasses", {"value": 7}),
        ("/apis/storage.k8s.io/v1/csidrivers", {"spec": {"attachRequired": False}}),
        (f"/apis/storage.k8s.io/v1/{default}/csistoragecapacities", {"storageClassName": "s", "capacity": "1Gi"}),
        ("/apis/storage.k8s.io/v1/volumeattachments", {"spec": attachment}),
        ("/apis/node.k8s.io/v1/runtimeclasses", {"handler": "h"}),
        (f"/api/v1/{default}/limitranges", {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}}),
        (f"/apis/events.k8s.io/v1/{default}/events", {**event, "eventTime": "2026-01-02T03:04:05.000006Z"}),
    ]
    return [(path, {"metadata": {"name": name}, **body}) for path, body in bodies]


def test_one_state_under_several_versions(tmp_path: Path) -> None:
    """Up and down and up again: what was stored is there, under its uid, and can be written."""
    made: dict[str, Any] = {}
    before: dict[tuple[str, str], str] = {}
    plane = ControlPlane(tmp_path)
    for version in ("1.25", "1.36", "1.28", "1.37"):
        plane.version = version
        with plane:
            now = stored(plane)
            served = {resource for resource, _ in now}
            kept = {key: uid for key, uid in before.items() if key[0] in served and key not in RECREATED}
            assert {key: now.get(key) for key in kept if key[0] != "events"} == {
                key: uid for key, uid in kept.items() if key[0] != "events"
            }
            for target, uid in made.items():
                assert plane.ask("GET", target).body["metadata"]["uid"] == uid
                patch = {"metadata": {"labels": {"seen-by": version}}}
                said = plane.ask("PATCH", target, patch, "application/merge-patch+json")
                assert said.status == 200, said.body
            for path, obj in _objects(version):
                said = plane.ask("POST", path, obj)
                assert said.status == 201, said.body
                made[f"{path}/{obj['metadata']['name']}"] = said.body["metadata"]["uid"]
            before = stored(plane)
        assert plane.tracebacks() == ""


def _sidecar() -> dict[str, Any]:
    """What no controller touches, with a field that is there from 1.28 on."""
    pod = {"containers": [{"name": "c", "image": "i"}], "initContainers": [{"name": "s", "image": "i"}]}
    pod["initContainers"][0]["restartPolicy"] = "Always"
    return {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"}, "template": {"spec": pod}}


def _says(container: dict[str, Any]) -> bool:
    return "restartPolicy" in container


def test_fields_of_a_newer_version_are_not_there(tmp_path: Path) -> None:
    """Neither in GET, LIST and WATCH nor held against who writes the object back or patches something else."""
    plane, target = ControlPlane(tmp_path), "/api/v1/namespaces/default/podtemplates"
    with plane:
        assert plane.ask("POST", target, _sidecar()).status == 201
    plane.version = "1.27"
    with plane:
        read = plane.ask("GET", f"{target}/t").body
        listed = plane.ask("GET", target).body["items"][0]
        watched = plane.ask("GET", f"{target}?watch=1&timeoutSeconds=1").body
        event = json.loads(watched.splitlines()[0]) if isinstance(watched, bytes) else watched
        for obj in (read, listed, event["object"]):
            assert not _says(obj["template"]["spec"]["initContainers"][0])
        strict, media = f"{target}/t?fieldValidation=Strict", "application/strategic-merge-patch+json"
        refused = plane.ask("PATCH", strict, {"template": {"bogus": 1}}, media)
        assert refused.problem[2].endswith('strict decoding error: unknown field "template.bogus"')
        said = plane.ask("PUT", strict, read)
        assert said.status == 200, said.body
        assert said.body["metadata"]["resourceVersion"] == read["metadata"]["resourceVersion"], "nothing to write"
        if PROGRAMS:
            kubectl = Kubectl(PROGRAMS[RELEASES["1.27"]], plane.kubeconfig, tmp_path)
            kubectl("replace", "-f", "-", stdin=kubectl("get", "podtemplate", "t", "-o", "yaml"))
    plane.version = "1.36"
    with plane:
        kept = plane.ask("GET", f"{target}/t").body
        assert _says(kept["template"]["spec"]["initContainers"][0]), "nobody wrote it meanwhile"
        assert plane.tracebacks() == ""


def test_policies_decide_only_where_they_are_served(tmp_path: Path) -> None:
    group = "/apis/admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "false", "message": "no"}]}
    binding = {"policyName": "never", "validationActions": ["Deny"]}
    plane, target = ControlPlane(tmp_path), "/api/v1/namespaces/default/configmaps"
    with plane:
        for plural, its in (("policies", spec), ("policybindings", binding)):
            body = {"metadata": {"name": "never"}, "spec": its}
            assert plane.ask("POST", f"{group}/validatingadmission{plural}", body).status == 201
        assert plane.ask("POST", target, {"metadata": {"name": "a"}}).status == 422
    plane.version = "1.27"
    with plane:
        assert plane.ask("GET", f"{group}/validatingadmissionpolicies").status == 404
        assert plane.ask("POST", target, {"metadata": {"name": "a"}}).status == 201
    plane.version = "1.36"
    with plane:
        assert plane.ask("POST", target, {"metadata": {"name": "b"}}).status == 422
        assert plane.tracebacks() == ""
