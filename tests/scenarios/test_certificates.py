"""Certificate requests in virtual time: approved for nodes, signed when approved, gone when nobody needs them."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from world import World, world

from wherry.aio.virtual import run_virtual
from wherry.api.resources import CERTIFICATE_SIGNING_REQUESTS, CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from wherry.api.types import Obj
from wherry.apiserver.auth.user import AUTHENTICATED, User
from wherry.apiserver.in_process import InProcessTransport
from wherry.client.rest import Client
from wherry.cluster import certificates as pki_files
from wherry.cluster.options import Options
from wherry.cluster.pki import Pki
from wherry.cluster.signing import Signer
from wherry.controllers import certificates, cluster_role_aggregation

HOUR = 3600
NODE_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
RULE = {"verbs": ["create"], "apiGroups": ["certificates.k8s.io"]}


def request_of(name: str, group: str, signer: str) -> Obj:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    pem = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    encoded = base64.b64encode(pem.public_bytes(serialization.Encoding.PEM)).decode()
    usages = ["client auth", "digital signature"]
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "r-"},
        "spec": {"request": encoded, "signerName": signer, "usages": usages, "expirationSeconds": 2 * HOUR},
    }


async def allow(w: World) -> None:
    """Nodes and robots may ask for certificates, and have their own without being asked."""
    rules = [
        {**RULE, "resources": ["certificatesigningrequests", "certificatesigningrequests/selfnodeclient"]},
    ]
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    await w.client.create(CLUSTER_ROLES, {**kind, "kind": "ClusterRole", "metadata": {"name": "own"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "own"}
    groups = ("system:nodes", "robots")
    subjects = [{"kind": "Group", "name": name, "apiGroup": "rbac.authorization.k8s.io"} for name in groups]
    binding = {"metadata": {"name": "own"}, "roleRef": reference, "subjects": subjects}
    await w.client.create(CLUSTER_ROLE_BINDINGS, {**kind, "kind": "ClusterRoleBinding", **binding})


def speaking_as(w: World, name: str, group: str) -> Client:
    return Client(InProcessTransport(w.app, User(name, (group, AUTHENTICATED))))


def test_the_life_of_certificate_requests(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(usual=False, nodes=0) as w:
            files = Pki(tmp_path)
            pki_files.ensure(files, Options(node="n1"), w.clock.time())
            w.started.append(asyncio.create_task(w.add(certificates, sign=Signer(files, w.clock)).run()))
            await allow(w)
            node, robot = speaking_as(w, "system:node:n1", "system:nodes"), speaking_as(w, "robot", "robots")
            csr = CERTIFICATE_SIGNING_REQUESTS
            own = await node.create(csr, request_of("system:node:n1", "system:nodes", NODE_SIGNER))
            other = await robot.create(csr, request_of("system:node:n2", "system:nodes", NODE_SIGNER))
            person = await w.client.create(csr, request_of("jane", "devs", "kubernetes.io/kube-apiserver-client"))
            foreign = await w.client.create(csr, request_of("jane", "devs", "example.com/own"))

            async def now(request: Obj) -> Obj | None:
                return await w.get(csr, request["metadata"]["name"], "")

            async def signed() -> str:
                found = await now(own)
                assert found is not None
                return str(found["status"].get("certificate", ""))

            certificate = x509.load_pem_x509_certificate(base64.b64decode(await w.until(signed)))
            authority = x509.load_pem_x509_certificate(files.ca.read_bytes())
            certificate.verify_directly_issued_by(authority)
            await asyncio.sleep(60)
            for pending in (other, person, foreign):
                assert (await now(pending) or {}).get("status") == {}, "nobody approved it"
            approval = {"type": "Approved", "status": "True", "reason": "Seen", "message": "by hand"}
            for each in (person, foreign):
                await w.client.update(csr, {**each, "status": {"conditions": [approval]}}, "approval")
            await asyncio.sleep(60)
            assert (await now(person) or {})["status"]["certificate"]
            assert "certificate" not in (await now(foreign) or {})["status"], "its signer is somebody else"
            await asyncio.sleep(1.1 * HOUR)
            assert [await now(each) for each in (own, person)] == [None, None]
            assert None not in [await now(each) for each in (other, foreign)]
            await asyncio.sleep(24 * HOUR)
            assert [await now(each) for each in (other, foreign)] == [None, None]

    run_virtual(main())


def test_an_aggregated_role_follows_its_parts() -> None:
    async def main() -> None:
        async with world(usual=False, nodes=0) as w:
            w.started.append(asyncio.create_task(w.add(cluster_role_aggregation).run()))
            kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
            rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
            whole = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "whole"}}]}, "rules": []}

            async def rules() -> list[Obj]:
                return list((await w.client.get(CLUSTER_ROLES, "whole")).get("rules") or [])

            await w.client.create(CLUSTER_ROLES, {**kind, "metadata": {"name": "whole"}, **whole})
            part = {**kind, "metadata": {"name": "part", "labels": {"to": "whole"}}, "rules": [rule, rule]}
            part = await w.client.create(CLUSTER_ROLES, part)
            await w.until(lambda: _is(rules, [rule]))
            by_hand = await w.client.get(CLUSTER_ROLES, "whole")
            await w.client.update(CLUSTER_ROLES, {**by_hand, "rules": []})
            await w.until(lambda: _is(rules, [rule]))
            await w.client.update(CLUSTER_ROLES, {**part, "metadata": {**part["metadata"], "labels": {}}})
            await w.until(lambda: _is(rules, []))

    run_virtual(main())


async def _is(found: object, wanted: list[Obj]) -> bool:
    return bool(await found() == wanted)  # type: ignore[operator]
