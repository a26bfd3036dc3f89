"""Policies of all kinds at an unmodified kubectl: webhooks over TLS, admission policies, Pod Security Standards."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubectl_tool import Kubectl, newest
from webhook_server import WebhookServer

pytestmark = pytest.mark.kubectl


def label(_: dict[str, Any]) -> dict[str, Any]:
    patch = [{"op": "add", "path": "/metadata/labels", "value": {"seen-by": "webhook"}}]
    text = base64.b64encode(json.dumps(patch).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": text, "warnings": ["labelled"]}


def refuse(request: dict[str, Any]) -> dict[str, Any]:
    name = request["name"]
    return {"allowed": not name.startswith("bad"), "status": {"message": f"{name} is a bad name", "code": 403}}


def configuration(kind: str, name: str, namespace: str, client: dict[str, str], **more: Any) -> dict[str, Any]:
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    hook = {
        "name": f"{name}.example.com", "clientConfig": client, "rules": [rule], "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "timeoutSeconds": 30,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}, **more,
    }  # fmt: skip
    api = "admissionregistration.k8s.io/v1"
    return {"apiVersion": api, "kind": f"{kind}WebhookConfiguration", "metadata": {"name": name}, "webhooks": [hook]}


@contextmanager
def applied(kubectl: Kubectl, *objects: dict[str, Any]) -> Iterator[None]:
    text = yaml.safe_dump_all(objects)
    kubectl("apply", "-f", "-", stdin=text)
    try:
        yield
    finally:
        kubectl("delete", "-f", "-", stdin=text)


@newest
def test_webhooks_over_tls(kubectl: Kubectl, tmp_path: Path) -> None:
    with WebhookServer(tmp_path, {"/label": label, "/refuse": refuse}) as hooks:
        mutating = configuration("Mutating", "label", kubectl.namespace, hooks.client_config("/label"))
        validating = configuration("Validating", "refuse", kubectl.namespace, hooks.client_config("/refuse"))
        with applied(kubectl, mutating, validating):
            done = kubectl.run("create", "configmap", "good")
            assert done.returncode == 0, done.stderr
            assert "Warning: labelled" in done.stderr
            assert kubectl.path("{.metadata.labels.seen-by}", "configmap", "good") == "webhook"
            assert kubectl.fails("create", "configmap", "bad") == (
                'Warning: labelled\nerror: failed to create configmap: admission webhook "refuse.example.com" denied the '
                "request: bad is a bad name\n"
            )
        assert [request["operation"] for request in hooks.asked] == ["CREATE"] * 4
        assert {request["userInfo"]["username"] for request in hooks.asked} != {""}


@newest
def test_a_webhook_nobody_can_trust(kubectl: Kubectl, tmp_path: Path) -> None:
    with WebhookServer(tmp_path, {"/refuse": refuse}) as hooks:
        client = {"url": f"{hooks.url}/refuse"}
        with applied(kubectl, configuration("Validating", "untrusted", kubectl.namespace, client)):
            text = kubectl.fails("create", "configmap", "good")
        assert (
            'failed calling webhook "untrusted.example.com": failed to call webhook: Post "https://127.0.0.1:' in text
        )
        assert "x509: certificate signed by unknown authority" in text
        ignoring = configuration("Validating", "untrusted", kubectl.namespace, client, failurePolicy="Ignore")
        with applied(kubectl, ignoring):
            kubectl("create", "configmap", "good")


POLICIES = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: few-replicas}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}]
  validations: [{expression: object.spec.replicas <= 3, messageExpression: "'at most 3, not ' + string(object.spec.replicas)"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: few-replicas}
spec:
  policyName: few-replicas
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: owner}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}]
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: "Object{metadata: Object.metadata{annotations: {'owner': request.userInfo.username}}}"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: owner}
spec: {policyName: owner, matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}}}
"""


@newest
def test_admission_policies(kubectl: Kubectl) -> None:
    objects = list(yaml.safe_load_all(POLICIES.replace("NAMESPACE", kubectl.namespace)))
    with applied(kubectl, *objects):
        kubectl("create", "deployment", "web", "--image", "i:1", "--replicas", "2")
        assert kubectl.path("{.metadata.annotations.owner}", "deployment", "web")
        denied = "ValidatingAdmissionPolicy 'few-replicas' with binding 'few-replicas' denied request: at most 3, not 5"
        assert denied in kubectl.fails("create", "deployment", "many", "--image", "i:1", "--replicas", "5")
        patch = '{"spec": {"replicas": 5}}'
        assert denied in kubectl.fails("patch", "deployment", "web", "-p", patch)


@newest
def test_pod_security_standards(kubectl: Kubectl) -> None:
    kubectl("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=baseline")
    kubectl("run", "plain", "--image", "i:1")
    host = '{"spec": {"hostNetwork": true}}'
    assert kubectl.fails("run", "host", "--image", "i:1", "--overrides", host) == (
        'Error from server (Forbidden): pods "host" is forbidden: violates PodSecurity "baseline:latest": host namespaces '
        "(hostNetwork=true)\n"
    )
    done = kubectl.run(
        "label", "--overwrite", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted"
    )
    assert "plain: allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true" in done.stderr
