"""What the API server reaches inside the cluster: Services, pods and the node through its proxy, and an API of another server."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kubectl import Kubectl
from manifests import config_map, container, deployment, program, service, web
from wherry_system import until


def test_services_pods_and_the_node_by_their_paths(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    kubectl.apply(deployment("web", web()), service("web"))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    where = f"/api/v1/namespaces/{kubectl.namespace}"
    assert until(lambda: kubectl.run("get", "--raw", f"{where}/services/web/proxy/").returncode == 0)
    for name in ("web", "web:80", "http:web:80"):
        assert kubectl("get", "--raw", f"{where}/services/{name}/proxy/").startswith("web")
    pod = kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")
    assert kubectl("get", "--raw", f"{where}/pods/{pod}:8080/proxy/").startswith("web")
    refused = kubectl.fails("get", "--raw", f"{where}/pods/{pod}:81/proxy/")
    assert "connect: connection refused" in refused or "unable to handle the request" in refused
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    assert "node_cpu_usage_seconds_total" in kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics/resource")
    assert "kubelet_running_pods" in kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics")
    assert json.loads(kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))["node"]["nodeName"] == node
    assert "is running at" in kubectl("cluster-info")


def test_kubectl_proxy(each_kubectl: Kubectl) -> None:
    kubectl = each_kubectl
    kubectl.apply(deployment("web", web()), service("web"))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    path = f"/api/v1/namespaces/{kubectl.namespace}/services/web/proxy/"
    with kubectl.start("proxy", "--port=0") as proxy:
        address = re.search(r"127\.0\.0\.1:\d+", proxy.line("Starting to serve on"))
        assert address is not None

        def answer() -> str:
            try:
                with urllib.request.urlopen(f"http://{address[0]}{path}", timeout=10) as reply:
                    text: str = reply.read().decode()
                    return text
            except OSError:
                return ""

        assert until(lambda: answer().startswith("web"), "the Service answers")


def test_an_api_of_another_server(kubectl: Kubectl) -> None:
    name = f"birds.{kubectl.namespace}.svc"
    tls, bundle = certificate(name)
    proxy_ca = kubectl(
        "get", "configmap", "-n", "kube-system", "extension-apiserver-authentication",
        "-o", r"jsonpath={.data.requestheader-client-ca-file}",
    )  # fmt: skip
    files = config_map("pki")
    files["data"] = {"tls.pem": tls, "proxy-ca.crt": proxy_ca}
    volumes = [{"name": "pki", "configMap": {"name": "pki"}}]
    probe = {"tcpSocket": {"port": 8443}, "periodSeconds": 1, "timeoutSeconds": 5}
    main = container(
        program("extension_api"), volumeMounts=[{"name": "pki", "mountPath": "/pki"}], readinessProbe=probe
    )
    kubectl.apply(
        files, deployment("birds", main, volumes=volumes), service("birds", {"port": 443, "targetPort": 8443})
    )
    spec = {
        "group": "birds.example.com",
        "version": "v1",
        "groupPriorityMinimum": 1000,
        "versionPriority": 10,
        "caBundle": bundle,
        "service": {"namespace": kubectl.namespace, "name": "birds"},
    }
    metadata = {"name": "v1.birds.example.com"}
    kubectl.apply({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata, "spec": spec})
    try:
        kubectl("wait", "--for=condition=Available", "apiservice/v1.birds.example.com", "--timeout=60s")
        assert "owls" in kubectl("api-resources", "--api-group=birds.example.com")
        annotations = json.loads(kubectl("get", "owls", "asked", "-o", "json"))["metadata"]["annotations"]
        assert annotations == {"user": "kubernetes-admin", "by": "front-proxy-client"}
        assert "asked" in kubectl("get", "owls")
        kubectl("scale", "deployment/birds", "--replicas=0")
        kubectl("wait", "--for=condition=Available=false", "apiservice/v1.birds.example.com", "--timeout=60s")
        assert "unable to handle the request" in kubectl.fails("get", "--raw", "/apis/birds.example.com/v1/owls")
    finally:
        kubectl("delete", "apiservice", "v1.birds.example.com")


def certificate(name: str) -> tuple[str, str]:
    """(certificate and key, itself as a caBundle)"""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "birds")])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(3)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (pem + secret).decode(), base64.b64encode(pem).decode()
