"""PEM and PKCS #10 as people and programs send them: read, or refused by a ValueError, whatever the bytes."""

from __future__ import annotations

import base64
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.api.certificate_request import certificates_problem, names_of, parse, subject_of

KEY = ec.derive_private_key(4711, ec.SECP256R1())


def request_of(*names: x509.GeneralName) -> bytes:
    attributes = [(NameOID.ORGANIZATION_NAME, "a"), (NameOID.ORGANIZATION_NAME, "b"), (NameOID.COMMON_NAME, "jane")]
    subject = x509.Name([x509.NameAttribute(*each) for each in attributes])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


PEM = request_of(x509.DNSName("n1"))
DER = parse(PEM).public_bytes(serialization.Encoding.DER)


def as_pem(der: bytes, kind: str = "CERTIFICATE REQUEST") -> bytes:
    return f"-----BEGIN {kind}-----\n{base64.b64encode(der).decode()}\n-----END {kind}-----\n".encode()


def test_names() -> None:
    assert subject_of(PEM) == ("jane", ["a", "b"])
    names = names_of(request_of(x509.DNSName("n1"), x509.IPAddress(ipaddress.ip_address("10.0.0.1"))))
    assert (names.common_name, names.organizations) == ("jane", ("a", "b"))
    assert (names.dns, names.addresses, names.emails, names.uris) == (("n1",), ("10.0.0.1",), (), ())
    assert names_of(request_of()).dns == ()


@pytest.mark.parametrize("pem", [b"", b"x", as_pem(DER, "CERTIFICATE"), as_pem(DER).replace(b"END", b"FIN"), DER])
def test_what_is_no_request(pem: bytes) -> None:
    with pytest.raises(ValueError, match="PEM block type must be CERTIFICATE REQUEST"):
        parse(pem)


def test_a_request_somebody_else_signed() -> None:
    other = bytearray(DER)
    other[DER.index(b"jane")] ^= 1
    with pytest.raises(ValueError, match="unable to verify certificate request signature"):
        names_of(as_pem(bytes(other)))


@given(st.integers(0, len(DER) - 1), st.integers(0, 255), st.integers(0, len(DER)))
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_it_fail_otherwise(place: int, value: int, length: int) -> None:
    broken = bytearray(DER)
    broken[place] = value
    for der in (bytes(broken), DER[:length]):
        for read in (subject_of, names_of):
            try:
                read(as_pem(der))
            except ValueError:
                continue
        assert isinstance(certificates_problem(as_pem(der, "CERTIFICATE")), str)


@given(st.binary(max_size=200))
def test_nor_do_any_others(data: bytes) -> None:
    with pytest.raises(ValueError):
        names_of(data)
    assert certificates_problem(data)
