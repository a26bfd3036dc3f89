"""Who may approve, sign and ask for which certificates: CertificateApproval, CertificateSigning, CertificateSubjectRestriction.

The verbs `approve` and `sign` are asked on `signers` with the signer's name, or with `DOMAIN/*`. Documented in "Certificates
and Certificate Signing Requests"; ClusterTrustBundleAttest asks for the verb `attest` in the same way.
"""

from __future__ import annotations

import base64
from typing import Any

from wherry.api import certificate_request
from wherry.apiserver.admission.request import AdmissionRequest
from wherry.apiserver.auth.attributes import Attributes
from wherry.apiserver.auth.user import MASTERS

GROUP = "certificates.k8s.io"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
_REQUESTS = frozenset({(GROUP, "certificatesigningrequests")})


class CertificateApproval:
    concerns = _REQUESTS

    async def validate(self, request: AdmissionRequest) -> None:
        if _is_request(request, "approval") and request.operation == "UPDATE":
            signer = _signer(request)
            if not _may(request, "approve", signer):
                raise request.forbid(f'user not permitted to approve requests with signerName "{signer}"')


class CertificateSigning:
    concerns = _REQUESTS

    async def validate(self, request: AdmissionRequest) -> None:
        if not _is_request(request, "status") or request.operation != "UPDATE":
            return
        if _signed(request.object) == _signed(request.old_object):
            return
        signer = _signer(request)
        if not _may(request, "sign", signer):
            raise request.forbid(f'user not permitted to sign requests with signerName "{signer}"')


class CertificateSubjectRestriction:
    concerns = _REQUESTS

    async def validate(self, request: AdmissionRequest) -> None:
        if not _is_request(request, "") or request.operation != "CREATE" or request.object is None:
            return
        spec = request.object["spec"]
        if spec.get("signerName") != CLIENT_SIGNER:
            return
        _, groups = certificate_request.subject_of(base64.b64decode(spec["request"]))  # parsed by validation before
        if MASTERS in groups:
            raise request.forbid(f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed")


class ClusterTrustBundleAttest:
    concerns = frozenset({(GROUP, "clustertrustbundles")})

    async def validate(self, request: AdmissionRequest) -> None:
        for bundle in (request.object, request.old_object):
            signer = bundle["spec"].get("signerName", "") if bundle is not None else ""
            if signer and not _may(request, "attest", signer):
                raise request.forbid(f'user not permitted to attest for signerName "{signer}"')


def _is_request(request: AdmissionRequest, subresource: str) -> bool:
    resource = (request.resource.group, request.resource.resource, request.subresource)
    return resource == (GROUP, "certificatesigningrequests", subresource)


def _signer(request: AdmissionRequest) -> str:
    """Of the stored object: an update cannot choose another."""
    assert request.old_object is not None
    name: str = request.old_object["spec"].get("signerName", "")
    return name


def _signed(obj: Any) -> tuple[Any, list[Any]]:
    """What only a signer may write: the certificate, and that there will be none."""
    status = obj.get("status") or {}
    failed = [each for each in status.get("conditions") or [] if each.get("type") == "Failed"]
    return status.get("certificate"), failed


def _may(request: AdmissionRequest, verb: str, signer: str) -> bool:
    assert request.world is not None
    wildcard = f"{signer.partition('/')[0]}/*"
    return any(
        request.world.authorizer.decide(request.user, Attributes(verb, GROUP, "signers", name=name)).allowed
        for name in (signer, wildcard)
    )
