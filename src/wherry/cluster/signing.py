"""Signs certificate requests with the cluster's authority, as kube-controller-manager does.

The certificate says what the request says of its subject and names, what was asked for of its usages, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from wherry.aio.clock import Clock
from wherry.api import certificate_request
from wherry.cluster.pki import Pki

if TYPE_CHECKING:
    from cryptography import x509

SECONDS_MAX = 365 * 24 * 3600
"""kube-controller-manager's --cluster-signing-duration."""
SECONDS_MIN = 600
BACKDATED = timedelta(minutes=5)
"""Clocks of clients differ a little."""

_KEY_USAGES = {
    "digital signature", "signing", "content commitment", "key encipherment", "data encipherment", "key agreement",
}  # fmt: skip
"""The rest are purposes, or belong to authorities, which these signers do not make."""


class Signer:
    """Reads the authority's key when it signs; the cryptography library is imported then."""

    def __init__(self, pki: Pki, clock: Clock) -> None:
        self._pki = pki
        self._clock = clock

    def __call__(self, request: bytes, usages: Sequence[str], seconds: int | None) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        asked = certificate_request.parse(request)
        authority = x509.load_pem_x509_certificate(self._pki.ca.read_bytes())
        key = serialization.load_pem_private_key(self._pki.ca_key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        now = datetime.fromtimestamp(self._clock.time(), UTC)
        life = timedelta(seconds=max(SECONDS_MIN, min(seconds or SECONDS_MAX, SECONDS_MAX)))
        builder = (
            x509.CertificateBuilder()
            .subject_name(asked.subject)
            .issuer_name(authority.subject)
            .public_key(asked.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(min(now + life, authority.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        )
        if set(usages) & _KEY_USAGES:  # one that allows nothing is worse than none: OpenSSL refuses the certificate
            builder = builder.add_extension(_key_usage(usages), critical=True)
        purposes = _purposes(usages)
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        for extension in asked.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                builder = builder.add_extension(extension.value, critical=extension.critical)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_usage(usages: Sequence[str]) -> x509.KeyUsage:
    from cryptography import x509

    agreement = "key agreement" in usages
    return x509.KeyUsage(
        digital_signature=bool({"digital signature", "signing"} & set(usages)),
        content_commitment="content commitment" in usages,
        key_encipherment="key encipherment" in usages,
        data_encipherment="data encipherment" in usages,
        key_agreement=agreement,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=agreement and "encipher only" in usages,
        decipher_only=agreement and "decipher only" in usages,
    )


def _purposes(usages: Sequence[str]) -> list[x509.ObjectIdentifier]:
    from cryptography.x509.oid import ExtendedKeyUsageOID

    known = {"client auth": ExtendedKeyUsageOID.CLIENT_AUTH, "server auth": ExtendedKeyUsageOID.SERVER_AUTH}
    return [known[usage] for usage in usages if usage in known]
