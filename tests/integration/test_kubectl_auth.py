"""What people ask kubectl about who they are and what they may: auth, certificate, create token, --as."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kubectl_tool import Kubectl, newest, oldest_and_newest

pytestmark = pytest.mark.kubectl
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


def request_of(name: str, *groups: str) -> tuple[str, str]:
    """A certificate request in base64 and its key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return base64.b64encode(request.public_bytes(pem)).decode(), secret.decode()


def signing_request(name: str, request: str, signer: str = CLIENT_SIGNER) -> str:
    spec = {"request": request, "signerName": signer, "usages": ["client auth"], "expirationSeconds": 3600}
    kind = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    return json.dumps({**kind, "metadata": {"name": name}, "spec": spec})


@oldest_and_newest
def test_who_am_i_and_what_may_i(kubectl: Kubectl) -> None:
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,pods/log")
    kubectl("create", "rolebinding", "reader", "--role=reader", "--user=jane", "--group=devs")
    assert kubectl("auth", "can-i", "list", "pods", "--as=jane") == "yes\n"
    assert kubectl("auth", "can-i", "get", "pods/log", "--as=jane") == "yes\n"
    assert kubectl("auth", "can-i", "get", "pods", "--subresource=log", "--as=joe", "--as-group=devs") == "yes\n"
    assert kubectl.run("auth", "can-i", "delete", "pods", "--as=jane").stdout == "no\n"
    assert kubectl.run("auth", "can-i", "get", "/metrics", "--as=jane").stdout == "no\n"
    listed = kubectl("auth", "can-i", "--list", "--as=jane")
    assert ["pods", "[]", "[]", "[get", "list]"] in [line.split() for line in listed.splitlines()]
    assert "incomplete" not in listed
    forbidden = kubectl.fails("get", "secrets", "--as=jane")
    assert 'User "jane" cannot list resource "secrets" in API group ""' in forbidden


@newest
def test_whoami_shows_all_that_is_known(kubectl: Kubectl) -> None:
    info = kubectl("auth", "whoami", "--as=eve", "--as-group=dev", "--as-uid=u-1", "-o", "json")
    assert json.loads(info)["status"]["userInfo"] == {
        "username": "eve",
        "uid": "u-1",
        "groups": ["dev", "system:authenticated"],
    }
    shown = kubectl("auth", "whoami").splitlines()
    assert shown[0].split() == ["ATTRIBUTE", "VALUE"]
    assert shown[1].split() == ["Username", "kubernetes-admin"]
    refused = kubectl.fails("get", "pods", "--as=nobody", "--as-group=nothing")
    assert 'User "nobody" cannot list resource "pods"' in refused


@oldest_and_newest
def test_reconcile_grants_what_is_missing_and_takes_nothing(kubectl: Kubectl, tmp_path: Path) -> None:
    namespace = kubectl.namespace
    kubectl("create", "role", "r", "--verb=list", "--resource=pods")
    manifest = tmp_path / "rbac.json"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r", "namespace": namespace},
    }
    manifest.write_text(json.dumps({**role, "rules": rules}))
    assert "reconciled" in kubectl("auth", "reconcile", "-f", str(manifest))
    resources = kubectl.path("{.rules[*].resources[*]}", "role", "r").split()
    assert sorted(resources) == ["configmaps", "pods"]
    kubectl("auth", "reconcile", "-f", str(manifest), "--remove-extra-permissions")
    assert kubectl.path("{.rules[*].resources[*]}", "role", "r") == "configmaps"


@oldest_and_newest
def test_certificates_are_approved_signed_and_used(kubectl: Kubectl, tmp_path: Path) -> None:
    name = f"jane-{kubectl.namespace}"
    request, key = request_of("jane", "devs")
    kubectl("create", "-f", "-", stdin=signing_request(name, request))
    columns = kubectl("get", "csr", name, "--no-headers").split()
    assert [columns[0], *columns[2:]] == [name, CLIENT_SIGNER, "kubernetes-admin", "60m", "Pending"]
    assert "approved" in kubectl("certificate", "approve", name)
    with kubectl.lines("get", "csr", name, "--no-headers", "-w") as lines:
        assert any(line.split()[-1] == "Approved,Issued" for line in lines)
    assert kubectl("get", "csr", name, "--no-headers").split()[-1] == "Approved,Issued"
    certificate = base64.b64decode(kubectl.path("{.status.certificate}", "csr", name))
    parsed = x509.load_pem_x509_certificate(certificate)
    assert [each.value for each in parsed.subject] == ["devs", "jane"]
    assert 3600 <= (parsed.not_valid_after_utc - parsed.not_valid_before_utc).total_seconds() <= 3600 + 5 * 60
    (tmp_path / "jane.crt").write_bytes(certificate)
    (tmp_path / "jane.key").write_text(key)
    kubectl("create", "rolebinding", "jane", "--clusterrole=view", "--group=devs")
    arguments = ("--client-certificate", str(tmp_path / "jane.crt"), "--client-key", str(tmp_path / "jane.key"))
    assert "kube-root-ca.crt" in kubectl("get", "configmaps", "-o", "name", *arguments)
    assert 'User "jane" cannot list resource "secrets"' in kubectl.fails("get", "secrets", *arguments)
    assert "denied" in kubectl("certificate", "deny", _pending(kubectl, f"{name}-2", request))
    assert kubectl("get", "csr", f"{name}-2", "--no-headers").split()[-1] == "Denied"
    kubectl("delete", "csr", name, f"{name}-2")


def _pending(kubectl: Kubectl, name: str, request: str) -> str:
    kubectl("create", "-f", "-", stdin=signing_request(name, request))
    return name


@newest
def test_what_signers_and_admission_refuse(kubectl: Kubectl) -> None:
    request, _ = request_of("root", "system:masters")
    refused = kubectl.fails("create", "-f", "-", stdin=signing_request(f"m-{kubectl.namespace}", request))
    assert f"use of {CLIENT_SIGNER} signer with system:masters group is not allowed" in refused
    name = f"node-{kubectl.namespace}"
    request, _ = request_of("x", "system:nodes")
    node = "kubernetes.io/kube-apiserver-client-kubelet"
    kubectl("create", "-f", "-", stdin=signing_request(name, request, node))
    kubectl("certificate", "approve", name)
    kubectl("wait", "--for=condition=Failed", f"csr/{name}", "--timeout=50s")
    message = kubectl.path('{.status.conditions[?(@.type=="Failed")].message}', "csr", name)
    assert message.startswith("subject common name does not begin with system:node:")
    kubectl("create", "clusterrole", name, "--verb=get,update", "--resource=certificatesigningrequests/approval")
    kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}", "--user=approver")
    kubectl("create", "clusterrolebinding", f"{name}-v", "--clusterrole=cluster-admin", "--user=viewer")
    request, _ = request_of("joe")
    pending = _pending(kubectl, f"{name}-2", request)
    csr = kubectl("get", "csr", pending, "-o", "json")
    approved = json.loads(csr)
    approved["status"] = {"conditions": [{"type": "Approved", "status": "True"}]}
    path = f"/apis/certificates.k8s.io/v1/certificatesigningrequests/{pending}/approval"
    refused = kubectl.run("replace", "--raw", path, "-f", "-", "--as=approver", stdin=json.dumps(approved)).stderr
    assert f'user not permitted to approve requests with signerName "{CLIENT_SIGNER}"' in refused
    kubectl("delete", "clusterrolebinding", name, f"{name}-v")
    kubectl("delete", "clusterrole", name)
    kubectl("delete", "csr", name, pending)


@newest
def test_tokens_bound_to_objects_and_audiences(kubectl: Kubectl) -> None:
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "secret", "generic", "anchor")
    token = kubectl("create", "token", "robot", "--bound-object-kind=Secret", "--bound-object-name=anchor").strip()
    assert "robot" in kubectl("auth", "whoami", "--token", token, KUBECONFIG=_without_user(kubectl))
    kubectl("delete", "secret", "anchor")
    gone = kubectl.run("auth", "whoami", "--token", token, KUBECONFIG=_without_user(kubectl)).stderr
    assert "Unauthorized" in gone or "logged in" in gone
    other = kubectl("create", "token", "robot", "--audience=vault", "--duration=15m").strip()
    claims = json.loads(base64.urlsafe_b64decode(other.split(".")[1] + "=="))
    assert (claims["aud"], claims["exp"] - claims["iat"]) == (["vault"], 900)
    assert "less than 10 minutes" in kubectl.fails("create", "token", "robot", "--duration=9m")


def _without_user(kubectl: Kubectl) -> str:
    """The same kubeconfig without the administrator's certificate, which would win over a token."""
    path = Path(kubectl._environment["KUBECONFIG"])
    config = json.loads(path.read_text())
    config["users"] = [{"name": "admin", "user": {}}]
    other = path.with_name("without-user")
    other.write_text(json.dumps(config))
    return str(other)


@newest
def test_aggregated_roles_show_their_rules(kubectl: Kubectl) -> None:
    name = kubectl.namespace
    kubectl("create", "clusterrole", name, "--aggregation-rule", f"to={name}")
    kubectl("create", "clusterrole", f"{name}-part", "--verb=get", "--resource=pods")
    kubectl("label", "clusterrole", f"{name}-part", f"to={name}")
    kubectl("wait", "--for=jsonpath={.rules[0].resources[0]}=pods", f"clusterrole/{name}", "--timeout=50s")
    kubectl("delete", "clusterrole", name, f"{name}-part")
