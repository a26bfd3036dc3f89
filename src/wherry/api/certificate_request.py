"""PEM and PKCS #10 as CertificateSigningRequests carry them. The cryptography library is imported when the first one comes.

Texts are those of Kubernetes' validation; what Go's x509 says about a broken request is said in our library's words.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from cryptography.x509 import CertificateSigningRequest

_BLOCK = re.compile(rb"-----BEGIN ([^-\r\n]+)-----\s*?\r?\n(.*?)-----END \1-----", re.DOTALL)
_HEADER = re.compile(rb"^[^\r\n:]+:[^\r\n]*\r?\n", re.MULTILINE)


def parse(pem: bytes) -> CertificateSigningRequest:
    """The first block, which must be a request. Raises ValueError."""
    block = _BLOCK.search(pem)
    if block is None or block[1] != b"CERTIFICATE REQUEST":
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    try:
        der = base64.b64decode(b"".join(block[2].split()), validate=True)
    except binascii.Error:
        raise ValueError("PEM block type must be CERTIFICATE REQUEST") from None
    from cryptography.x509 import load_der_x509_csr

    with _refusals():
        return load_der_x509_csr(der)


@contextmanager
def _refusals() -> Iterator[None]:
    """The library's ways to say that a certificate or a request is none, as one."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        yield
    except (
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        x509.AttributeNotFound,
        TypeError,
    ) as error:
        raise ValueError(str(error)) from None


def subject_of(pem: bytes) -> tuple[str, list[str]]:
    """(common name, organizations). Raises ValueError."""
    from cryptography.x509.oid import NameOID

    request = parse(pem)
    with _refusals():
        subject = request.subject
    names = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return names[-1] if names else "", groups


class Names(Struct, frozen=True):
    """Whom a request says it is from. SANs as texts, by kind."""

    common_name: str
    organizations: tuple[str, ...]
    dns: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def names_of(pem: bytes) -> Names:
    """Raises ValueError, also for a request that its own key has not signed."""
    from cryptography import x509

    name, groups = subject_of(pem)
    request = parse(pem)
    with _refusals():
        if not request.is_signature_valid:
            raise ValueError("unable to verify certificate request signature")
        try:
            found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return Names(name, tuple(groups))
    return Names(
        name,
        tuple(groups),
        tuple(found.get_values_for_type(x509.DNSName)),
        tuple(str(each) for each in found.get_values_for_type(x509.IPAddress)),
        tuple(found.get_values_for_type(x509.RFC822Name)),
        tuple(found.get_values_for_type(x509.UniformResourceIdentifier)),
    )


def not_after(pem: bytes) -> float:
    """When the first certificate of a chain ends, in Unix seconds. Raises ValueError."""
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()


def certificates_problem(pem: bytes) -> str:
    """What is wrong with a chain of certificates; "" when nothing is."""
    from cryptography.x509 import load_der_x509_certificate

    found = False
    for block in _BLOCK.finditer(pem):
        if block[1] != b"CERTIFICATE":
            return f'only CERTIFICATE PEM blocks are allowed, found "{block[1].decode(errors="replace")}"'
        if _HEADER.search(block[2]):
            return "no PEM block headers are permitted"
        try:
            with _refusals():
                load_der_x509_certificate(base64.b64decode(b"".join(block[2].split()), validate=True))
        except ValueError as error:
            return str(error)
        found = True
    return "" if found else "must contain at least one CERTIFICATE PEM block"


def authorities_problem(pem: bytes) -> str:
    """What keeps well-formed certificates from being trust anchors: each must be an authority's, and there once."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    seen: set[bytes] = set()
    for i, certificate in enumerate(x509.load_pem_x509_certificates(pem)):
        try:
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        except x509.ExtensionNotFound:
            return f"certificate {i} does not have the basic constraints extension"
        if not constraints.ca:
            return f"certificate {i} is not a CA certificate"
        fingerprint = certificate.public_bytes(Encoding.DER)
        if fingerprint in seen:
            return "duplicate trust anchor"
        seen.add(fingerprint)
    return ""
