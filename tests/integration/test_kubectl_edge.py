"""kubectl with what the server says of itself and of others: raw paths, cluster-info, APIServices, flow schemas, metrics."""

from __future__ import annotations

import json

import pytest
from kubectl_tool import Kubectl, oldest_and_newest

pytestmark = pytest.mark.kubectl
REMOTE = """
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.edge.example.com}
spec:
  group: edge.example.com
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 10
  insecureSkipTLSVerify: true
  service: {namespace: default, name: nobody}
"""


@oldest_and_newest
def test_raw_paths(kubectl: Kubectl) -> None:
    assert kubectl("get", "--raw", "/readyz") == "ok"
    verbose = kubectl("get", "--raw", "/readyz?verbose&exclude=log")
    assert "[+]ping ok\n" in verbose
    assert "[+]log excluded: ok\n" in verbose
    assert verbose.endswith("readyz check passed\n")
    assert kubectl("get", "--raw", "/livez/ping") == "ok"
    assert json.loads(kubectl("get", "--raw", "/version"))["major"] == "1"
    assert "/apis/apps/v1" in json.loads(kubectl("get", "--raw", "/"))["paths"]
    metrics = kubectl("get", "--raw", "/metrics")
    for name in (
        "apiserver_request_total{",
        "apiserver_storage_objects{",
        "process_cpu_seconds_total ",
        "workqueue_depth{",
    ):
        assert f"\n{name}" in metrics, name
    assert 'apiserver_flowcontrol_nominal_limit_seats{priority_level="workload-low"}' in metrics
    assert "is running at" in kubectl("cluster-info")


@oldest_and_newest
def test_api_services_say_how_they_are(kubectl: Kubectl) -> None:
    rows = {line.split()[0]: line.split()[1:3] for line in kubectl("get", "apiservices").splitlines()[1:]}
    assert rows["v1."] == rows["v1.apps"] == ["Local", "True"]
    kubectl("apply", "-f", "-", stdin=REMOTE)
    try:
        kubectl("wait", "--for=condition=Available=false", "apiservice/v1.edge.example.com", "--timeout=50s")
        row = next(line for line in kubectl("get", "apiservices").splitlines() if "edge" in line)
        assert row.split()[1:4] == ["default/nobody", "False", "(ServiceNotFound)"]
        refused = kubectl.fails("get", "--raw", "/apis/edge.example.com/v1/things")
        assert "currently unable to handle the request" in refused
        assert "configmaps" in kubectl("api-resources", "--api-group=", "-o", "name"), "what we serve is not touched"
    finally:
        kubectl("delete", "apiservice", "v1.edge.example.com")


@oldest_and_newest
def test_flow_schemas_are_shown_with_what_they_lack(kubectl: Kubectl) -> None:
    rows = {line.split()[0]: line.split()[1:] for line in kubectl("get", "flowschemas").splitlines()}
    assert rows["exempt"][:2] == ["exempt", "1"]
    assert rows["exempt"][-1] == "False"
    assert {"catch-all", "workload-low"} < {
        line.split()[0] for line in kubectl("get", "prioritylevelconfigurations").splitlines()
    }


@oldest_and_newest
def test_proxies_say_why_not(kubectl: Kubectl) -> None:
    where = f"/api/v1/namespaces/{kubectl.namespace}"
    kubectl("create", "service", "clusterip", "hello", "--tcp=80:8080")
    refused = kubectl.fails("get", "--raw", f"{where}/services/hello:80-8080/proxy/")
    assert 'no endpoints available for service "hello:80-8080"' in refused
    assert 'no service port 81 found for service "hello"' in kubectl.fails(
        "get", "--raw", f"{where}/services/hello:81/proxy/"
    )
    assert 'services "none" not found' in kubectl.fails("get", "--raw", f"{where}/services/none:80/proxy/")
