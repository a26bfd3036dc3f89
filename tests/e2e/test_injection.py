"""A webhook that runs in the cluster, behind a Service: pods get a container from it, and wait while it is away."""

from __future__ import annotations

import json
from typing import Any

from kubectl import Kubectl
from manifests import FOREVER, IMAGE, config_map, container, deployment, pod, program, service
from test_proxies import certificate
from wherry_system import until


def injection(namespace: str, bundle: str) -> dict[str, Any]:
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    hook = {
        "name": "injector.example.com",
        "clientConfig": {
            "service": {"namespace": namespace, "name": "injector", "path": "/inject"},
            "caBundle": bundle,
        },
        "rules": [rule],
        "objectSelector": {"matchLabels": {"inject": "yes"}},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 30,
    }
    api = "admissionregistration.k8s.io/v1"
    return {
        "apiVersion": api,
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [hook],
    }


def test_a_sidecar_from_a_webhook_in_the_cluster(kubectl: Kubectl) -> None:
    tls, bundle = certificate(f"injector.{kubectl.namespace}.svc")
    files = config_map("pki")
    files["data"] = {"tls.pem": tls}
    probe = {"tcpSocket": {"port": 8443}, "periodSeconds": 1}
    mounts = [{"name": "pki", "mountPath": "/pki"}]
    main = container(program("injector", IMAGE), volumeMounts=mounts, readinessProbe=probe)
    volumes = [{"name": "pki", "configMap": {"name": "pki"}}]
    kubectl.apply(files, deployment("injector", main, volumes=volumes))
    kubectl.apply(service("injector", {"port": 443, "targetPort": 8443}))
    kubectl("rollout", "status", "deployment/injector", "--timeout=60s", timeout=90)
    slices = ("endpointslices", "-l", "kubernetes.io/service-name=injector")
    until(lambda: kubectl.path_of("{.items[*].endpoints[*].conditions.ready}", *slices) == "true", "its Service knows")
    kubectl.apply(injection(kubectl.namespace, bundle))
    try:
        kubectl.apply(pod("plain", container(FOREVER)))
        kubectl.apply(pod("injected", container(FOREVER), labels={"inject": "yes"}))
        kubectl("wait", "--for=condition=Ready", "pod/plain", "pod/injected", "--timeout=60s", timeout=90)
        names = {
            each["metadata"]["name"]: [one["name"] for one in each["status"]["containerStatuses"] if one["ready"]]
            for each in json.loads(kubectl("get", "pods", "plain", "injected", "-o", "json"))["items"]
        }
        assert names == {"plain": ["main"], "injected": ["main", "side"]}
        kubectl("delete", "service", "injector")
        refused = kubectl.fails("run", "late", "--image", IMAGE, "--labels", "inject=yes")
        assert (
            'failed calling webhook "injector.example.com": failed to call webhook: Post "https://injector.' in refused
        )
        kubectl.apply(pod("later", container(FOREVER)))
    finally:
        kubectl("delete", "mutatingwebhookconfiguration", kubectl.namespace)
