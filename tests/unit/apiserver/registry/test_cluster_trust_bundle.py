"""What a ClusterTrustBundle may hold, and how it is named. Served from 1.37 on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from wherry.api.scheme import Scheme
from wherry.apiserver.registry.catalogue import strategies
from wherry.apiserver.registry.cluster_trust_bundle import ClusterTrustBundleStrategy

BORN = datetime(2026, 1, 1, tzinfo=UTC)


def certificate(authority: bool) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anchor")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(BORN).not_valid_after(BORN + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


AUTHORITY, LEAF = certificate(True), certificate(False)


@pytest.mark.parametrize(
    ("name", "spec", "causes"),
    [
        ("mine", {"trustBundle": AUTHORITY}, []),
        ("example.com:s:v1", {"trustBundle": AUTHORITY, "signerName": "example.com/s"}, []),
        ("a:b", {"trustBundle": AUTHORITY}, ['ClusterTrustBundle without signer name must not have ":" in its name']),
        (
            "mine",
            {"trustBundle": AUTHORITY, "signerName": "example.com/s"},
            ["ClusterTrustBundle for signerName example.com/s must be named with prefix example.com:s:"],
        ),
        ("mine", {"trustBundle": ""}, ["at least one trust anchor must be provided"]),
        ("mine", {"trustBundle": LEAF}, ["certificate 0 is not a CA certificate"]),
        ("mine", {"trustBundle": AUTHORITY * 2}, ["duplicate trust anchor"]),
    ],
)
def test_what_is_refused(name: str, spec: dict[str, str], causes: list[str]) -> None:
    found = strategies(Scheme.load("1.37"))
    strategy = next(each for each in found.values() if isinstance(each, ClusterTrustBundleStrategy))
    said = strategy.validate({"metadata": {"name": name}, "spec": spec})
    assert [cause.message.partition(": ")[2].partition(": ")[2] for cause in said] == causes
    assert strategy.validate_name(name) == []
