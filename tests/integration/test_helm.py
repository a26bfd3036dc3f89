"""Helm's own SDK (version 4, Go, unmodified) against a control plane process: its releases come as protobuf, its objects by
server-side apply."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from client_world import eventually, furnished, namespace_of, widget_definition
from control_plane_process import ControlPlane
from helm_process import Helm, HelmFailed

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("helm_python") is None, reason="Helm's SDK is not made for this machine"
)
TEMPLATES = {
    "deployment.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}, labels: {app: {{ .Release.Name }}}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Values.selector | default .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Values.selector | default .Release.Name }}}}
    spec:
      containers:
      - name: c
        image: "i:{{ .Chart.AppVersion }}"
        env: {{- range $name, $value := .Values.env }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
""",
    "service.yaml": """
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {selector: {app: {{ .Release.Name }}}, ports: [{port: 80}]}
""",
    "extra.yaml": """
{{- if .Values.extra }}
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-extra}
data: {known: {{ .Capabilities.APIVersions.Has "apps/v1" | quote }}, version: {{ .Capabilities.KubeVersion.Minor | quote }}}
{{- end }}
""",
    "hook.yaml": """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-before
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: before-hook-creation}
data: {revision: {{ .Release.Revision | quote }}}
""",
}
VALUES = {"replicas": 2, "env": {"A": "1", "B": "2"}, "extra": False}


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    with namespace_of(plane, "helm") as name:
        yield name


@pytest.fixture
def chart(tmp_path: Path) -> str:
    root = tmp_path / "shop"
    (root / "templates").mkdir(parents=True)
    meta = {"apiVersion": "v2", "name": "shop", "version": "0.1.0", "appVersion": "1.16.0"}
    (root / "Chart.yaml").write_text(json.dumps(meta))
    (root / "values.yaml").write_text(json.dumps(VALUES))
    for name, text in TEMPLATES.items():
        (root / "templates" / name).write_text(text)
    return str(root)


@pytest.fixture
def helm(plane: ControlPlane, namespace: str) -> Iterator[Helm]:
    with Helm(plane.kubeconfig, namespace) as running:
        yield running


def found(plane: ControlPlane, namespace: str, path: str) -> Any:
    """`deployments/web` of a group as in `apps/v1`, or None."""
    group, _, rest = path.rpartition(":")
    root = f"/apis/{group}" if group else "/api/v1"
    answer = plane.ask("GET", f"{root}/namespaces/{namespace}/{rest}")
    return answer.body if answer.status == 200 else None


def test_the_life_of_a_release(plane: ControlPlane, namespace: str, chart: str, helm: Helm) -> None:
    helm("check_reachable")
    assert helm("install", chart, "web", {})["status"] == "deployed"
    first = found(plane, namespace, "apps/v1:deployments/web")
    (container,) = first["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert first["metadata"]["annotations"]["meta.helm.sh/release-name"] == "web"
    assert first["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    assert first["metadata"]["managedFields"][0]["operation"] == "Apply"
    assert found(plane, namespace, "configmaps/web-before")["data"] == {"revision": "1"}

    assert helm("upgrade", chart, "web", {"replicas": 3, "env": {"A": None}, "extra": True})["revision"] == 2
    second = found(plane, namespace, "apps/v1:deployments/web")
    assert second["spec"]["replicas"] == 3
    assert second["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "B", "value": "2"}]
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert found(plane, namespace, "configmaps/web-extra")["data"] == {"known": "true", "version": "36"}
    assert found(plane, namespace, "configmaps/web-before")["data"] == {"revision": "2"}

    helm("rollback", "web", version=1)
    third = found(plane, namespace, "apps/v1:deployments/web")
    assert third["spec"]["replicas"] == 2
    assert third["spec"]["template"]["spec"]["containers"][0]["env"] == container["env"]
    assert found(plane, namespace, "configmaps/web-extra") is None
    revisions = [(each["revision"], each["status"]) for each in helm("history", "web")]
    assert sorted(revisions) == [(1, "superseded"), (2, "superseded"), (3, "deployed")]
    assert [(each["name"], each["revision"]) for each in helm("list")] == [("web", 3)]
    assert helm("get_values", "web", revision=2)["replicas"] == 3
    secret = found(plane, namespace, "secrets/sh.helm.release.v1.web.v3")
    assert (secret["type"], secret["metadata"]["labels"]["status"]) == ("helm.sh/release.v1", "deployed")

    helm("uninstall", "web")
    assert helm("list") == []
    assert found(plane, namespace, "secrets")["items"] == []
    assert found(plane, namespace, "apps/v1:deployments/web") is None
    assert found(plane, namespace, "services/web") is None


def test_it_waits_until_all_is_ready_and_gone(plane: ControlPlane, namespace: str, chart: str, helm: Helm) -> None:
    wait = {"wait": "watcher", "timeout": 60}
    assert helm("install", chart, "web", {"replicas": 0}, **wait)["status"] == "deployed"
    status = found(plane, namespace, "apps/v1:deployments/web")["status"]
    assert {"Available", "Progressing"} <= {each["type"] for each in status["conditions"]}
    with pytest.raises(HelmFailed, match="not ready"):
        helm("upgrade", chart, "web", {"replicas": 1}, wait="watcher", timeout=1)
    assert helm("status", "web")["status"] == "failed"
    helm("rollback", "web", version=1, **wait)
    assert helm("status", "web")["status"] == "deployed"
    helm("uninstall", "web", **wait)
    eventually(
        lambda: found(plane, namespace, "apps/v1:replicasets")["items"] == []
    )  # Helm waits for its own objects only


def test_what_is_refused(plane: ControlPlane, namespace: str, chart: str, helm: Helm) -> None:
    helm("install", chart, "web", {})
    with pytest.raises(HelmFailed, match="cannot reuse a name that is still in use"):
        helm("install", chart, "web", {})
    with pytest.raises(HelmFailed, match=r"spec\.selector: Invalid value: .*field is immutable"):
        helm("upgrade", chart, "web", {"selector": "other"})
    assert [each["status"] for each in helm("history", "web")] == ["deployed", "failed"]
    assert found(plane, namespace, "apps/v1:deployments/web")["spec"]["selector"] == {"matchLabels": {"app": "web"}}
    with pytest.raises(HelmFailed, match=r"spec\.replicas: Invalid value: -1: must be greater than or equal to 0"):
        helm("install", chart, "negative", {"replicas": -1})
    service = {"metadata": {"name": "other"}, "spec": {"ports": [{"port": 80}]}}
    assert plane.ask("POST", f"/api/v1/namespaces/{namespace}/services", service).status == 201
    with pytest.raises(HelmFailed) as taken:
        helm("install", chart, "other", {})
    assert "cannot be imported into the current release" in str(taken.value)


def test_another_owner_of_a_field_is_a_conflict(plane: ControlPlane, namespace: str, chart: str, helm: Helm) -> None:
    helm("install", chart, "web", {})
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    merge = "application/merge-patch+json"
    changed = plane.ask("PATCH", f"{path}?fieldManager=someone", {"spec": {"replicas": 7}}, merge)
    assert changed.status == 200
    with pytest.raises(HelmFailed, match=r"conflict with \"someone\".*\.spec\.replicas"):
        helm("upgrade", chart, "web", {"replicas": 3})
    assert plane.ask("GET", path).body["spec"]["replicas"] == 7


def test_a_dry_run_writes_nothing(plane: ControlPlane, namespace: str, chart: str, helm: Helm) -> None:
    furnished(plane, namespace)
    before = plane.revision()
    release = helm("install", chart, "web", {}, dry_run="server")
    assert "kind: Deployment" in release["manifest"]
    assert not [key for key in plane.written_since(before) if f"/{namespace}/" in key]


def complete(plane: ControlPlane, path: str) -> None:
    """As the Job's controller does when its pod has succeeded."""
    times = {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:01Z"}
    conditions = [{"type": each, "status": "True"} for each in ("SuccessCriteriaMet", "Complete")]
    body = {"status": {**times, "succeeded": 1, "conditions": conditions, "uncountedTerminatedPods": {}}}
    merge = "application/merge-patch+json"
    eventually(lambda: plane.ask("GET", path).status == 200)
    assert plane.ask("PATCH", f"{path}/status", body, merge).status == 200


def test_a_hook_is_waited_for_and_what_is_kept_stays(
    plane: ControlPlane, namespace: str, chart: str, helm: Helm
) -> None:
    """A Job before the rest; the same chart again changes nothing; a claim that is to be kept stays."""
    pod = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    hook = {"helm.sh/hook": "pre-install", "helm.sh/hook-delete-policy": "hook-succeeded"}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    db = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    manifests = (
        ("batch/v1", "Job", {"name": "migrate", "annotations": hook}, {"template": pod}),
        ("v1", "PersistentVolumeClaim", {"name": "kept", "annotations": {"helm.sh/resource-policy": "keep"}}, claim),
        ("batch/v1", "CronJob", {"name": "nightly"}, {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": pod}}}),
        ("policy/v1", "PodDisruptionBudget", {"name": "db"}, {"selector": {"matchLabels": {"app": "db"}}}),
        ("apps/v1", "StatefulSet", {"name": "db"}, {
            "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": db,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        }),
    )  # fmt: skip
    for version, kind, metadata, spec in manifests:
        text = json.dumps({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
        (Path(chart) / "templates" / f"{kind}.yaml").write_text(text)
    job = f"/apis/batch/v1/namespaces/{namespace}/jobs/migrate"
    with ThreadPoolExecutor(1) as pool:
        completing = pool.submit(complete, plane, job)
        assert helm("install", chart, "web", {}, timeout=60)["status"] == "deployed"
        completing.result()
    assert plane.ask("GET", job).status == 404
    helm("upgrade", chart, "web", {})
    for path in ("apps/v1:deployments/web", "apps/v1:statefulsets/db", "batch/v1:cronjobs/nightly"):
        assert found(plane, namespace, path)["metadata"]["generation"] == 1, path
    assert "[PersistentVolumeClaim] kept" in helm("uninstall", "web", wait="watcher", timeout=60)["info"]
    assert found(plane, namespace, "persistentvolumeclaims/kept") is not None
    assert found(plane, namespace, "apps/v1:statefulsets/db") is None


def test_releases_in_config_maps(plane: ControlPlane, namespace: str, chart: str) -> None:
    with Helm(plane.kubeconfig, namespace, driver="configmap") as helm:
        helm("install", chart, "web", {})
        helm("upgrade", chart, "web", {"replicas": 1})
        names = [each["metadata"]["name"] for each in found(plane, namespace, "configmaps")["items"]]
        assert {"sh.helm.release.v1.web.v1", "sh.helm.release.v1.web.v2"} <= set(names)
        helm("uninstall", "web", keep_history=True)
        assert [each["status"] for each in helm("history", "web")] == ["superseded", "uninstalled"]


def test_a_chart_with_a_kind_of_its_own(plane: ControlPlane, namespace: str, chart: str, helm: Helm) -> None:
    group = f"{namespace}.example.com"
    (Path(chart) / "crds").mkdir()
    (Path(chart) / "crds" / "widget.yaml").write_text(json.dumps(widget_definition(group)))
    widget = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"colour": "red"}}
    (Path(chart) / "templates" / "widget.yaml").write_text(json.dumps(widget))
    helm("install", chart, "web", {})
    assert found(plane, namespace, f"{group}/v1:widgets/w")["spec"] == {"colour": "red", "size": 1}
    helm("uninstall", "web")
    eventually(lambda: found(plane, namespace, f"{group}/v1:widgets/w") is None)
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert plane.ask("DELETE", f"{definitions}/widgets.{group}").status == 200  # Helm leaves definitions alone
