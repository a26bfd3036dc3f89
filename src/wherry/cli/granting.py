"""What `wherry access` makes in the cluster: a namespace, whom it belongs to, and what they may there.

Names are made of the role, so that asking again finds what is there. Everything carries the label
`app.kubernetes.io/managed-by: wherry-access`.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from wherry.api.types import Obj
from wherry.cli.asking import Refused, ask, ensure
from wherry.cli.session import Failed
from wherry.cluster import system
from wherry.cluster.options import Options
from wherry.cluster.paths import State

RBAC = "rbac.authorization.k8s.io"
LABELS = {"app.kubernetes.io/managed-by": "wherry-access"}
SIGNER = "kubernetes.io/kube-apiserver-client"
GROUP = "wherry:access"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
SIGNED_SECONDS = 10.0
DAY_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Wanted:
    """Access to one namespace with the rights of one ClusterRole there."""

    namespace: str
    role: str

    @property
    def account(self) -> str:
        """The ServiceAccount, and the name of its RoleBinding."""
        return f"wherry-{self.role}"

    @property
    def user(self) -> str:
        """The user of a certificate."""
        return f"wherry:{self.namespace}:{self.role}"


class Granting:
    """Over one running system, as administrator. Everything raises Failed."""

    def __init__(self, state: State, options: Options) -> None:
        self._state = state
        self._options = options

    def role_exists(self, role: str) -> None:
        try:
            ask(self._state, self._options, "GET", f"/apis/{RBAC}/v1/clusterroles/{role}")
        except Refused as error:
            raise Failed(f"there is no ClusterRole {role!r} ({error}): view, edit and admin are there") from None

    def namespace(self, name: str) -> bool:
        """Whether it was made now."""
        obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        return ensure(self._state, self._options, "/api/v1/namespaces", obj)

    def account(self, wanted: Wanted) -> None:
        """A ServiceAccount bound to the role."""
        metadata = {"name": wanted.account, "namespace": wanted.namespace, "labels": LABELS}
        path = f"/api/v1/namespaces/{wanted.namespace}/serviceaccounts"
        ensure(self._state, self._options, path, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
        subject = {"kind": "ServiceAccount", "name": wanted.account, "namespace": wanted.namespace}
        self._bind(wanted, wanted.account, subject)

    def user(self, wanted: Wanted) -> None:
        """The user of a certificate, bound to the role."""
        self._bind(wanted, f"{wanted.account}-user", {"apiGroup": RBAC, "kind": "User", "name": wanted.user})

    def _bind(self, wanted: Wanted, name: str, subject: Obj) -> None:
        binding = {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": wanted.namespace, "labels": LABELS},
            "subjects": [subject],
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": wanted.role},
        }
        ensure(self._state, self._options, f"/apis/{RBAC}/v1/namespaces/{wanted.namespace}/rolebindings", binding)

    def certificate(self, wanted: Wanted, days: int) -> tuple[bytes, bytes]:
        """A certificate and its key in PEM, signed by way of a CertificateSigningRequest that is approved here."""
        request, key = _request(wanted.user)
        name = f"wherry-access-{wanted.namespace}-{wanted.role}-{secrets.token_hex(4)}"
        spec = {
            "request": base64.b64encode(request).decode(),
            "signerName": SIGNER,
            "usages": ["digital signature", "client auth"],
            "expirationSeconds": days * DAY_SECONDS,
        }
        kind = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
        made = self._ask("POST", REQUESTS, {**kind, "metadata": {"name": name, "labels": LABELS}, "spec": spec})
        approved = {
            "type": "Approved",
            "status": "True",
            "reason": "WherryAccess",
            "message": "asked for by wherry access",
        }
        self._ask("PUT", f"{REQUESTS}/{name}/approval", {**made, "status": {"conditions": [approved]}})
        signed: list[str] = []

        def issued() -> bool:
            status = self._ask("GET", f"{REQUESTS}/{name}").get("status") or {}
            signed.extend([status["certificate"]] if status.get("certificate") else [])
            return bool(signed)

        if not system.wait_for(issued, SIGNED_SECONDS):
            raise Failed(f"CertificateSigningRequest {name} was not signed: kubectl get csr {name} -o yaml")
        self._ask("DELETE", f"{REQUESTS}/{name}")
        return base64.b64decode(signed[0]), key

    def revoke(self, namespace: str) -> int:
        """Take away whatever was given in a namespace: from now on tokens end and certificates may nothing. How many
        objects that were."""
        count = 0
        for path in (
            f"/apis/{RBAC}/v1/namespaces/{namespace}/rolebindings",
            f"/api/v1/namespaces/{namespace}/serviceaccounts",
        ):
            selector = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Dwherry-access"
            for item in self._ask("GET", f"{path}?{selector}")["items"]:
                self._ask("DELETE", f"{path}/{item['metadata']['name']}")
                count += 1
        return count

    def _ask(self, method: str, path: str, body: Obj | None = None) -> Obj:
        return ask(self._state, self._options, method, path, body)


def _request(user: str) -> tuple[bytes, bytes]:
    """A certificate request for a new key, and the key, in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, GROUP), x509.NameAttribute(NameOID.COMMON_NAME, user)]
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes)).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return request.public_bytes(pem), secret


Make = Callable[[Wanted], Obj]
"""Makes a credential: the content of a kubeconfig user."""
