"""Makes the certificates and keys of one system: an authority, a server certificate, client certificates, a token key.

All keys are ECDSA P-256: 22 us each, where RSA-2048 costs 20 ms at the first start. Files are 0600 and written once;
`ensure` renews leaf certificates that end within 30 days.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wherry.cluster.members import members
from wherry.cluster.options import Options
from wherry.cluster.pki import Pki

CA_DAYS = 3650  # kubeadm's authority lives ten years,
LEAF_DAYS = 365  # its leaves one
RENEW_DAYS = 30


def ensure(pki: Pki, options: Options, unix_now: float) -> None:
    """Make what is missing or about to expire. Idempotent; safe after a crash: every file is written atomically, key first.
    The directory is there and only one process at a time calls this."""
    now = datetime.fromtimestamp(unix_now, UTC)
    authority = Authority(pki.ca, pki.ca_key)
    front_proxy = Authority(pki.front_proxy_ca, pki.front_proxy_ca_key)
    if not pki.ca.exists():
        _make_authority(authority, f"{options.context}-ca", now)
    if not pki.front_proxy_ca.exists():
        _make_authority(front_proxy, "front-proxy-ca", now)
    if not pki.token_key.exists():
        _write_key(pki.token_key, ec.generate_private_key(ec.SECP256R1()))
    _ensure_leaf(pki, "apiserver", "kube-apiserver", [], now, server=_server_names(options))
    _ensure_leaf(pki, "front-proxy-client", "front-proxy-client", [], now, authority=front_proxy)
    _ensure_leaf(pki, "admin", "kubernetes-admin", ["system:masters"], now)
    for each in members(options):
        _ensure_leaf(pki, each.role, f"system:node:{each.name}", ["system:nodes", "wherry:node-agents"], now)


def _server_names(options: Options) -> list[x509.GeneralName]:
    domain = options.service_domain
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    names += [f"kubernetes.default.svc.{domain}", "host.wherry.internal", options.node_name]
    addresses = {"127.0.0.1", "::1", options.address, options.api_service_ip, options.pod_gateway}
    return [
        *(x509.DNSName(name) for name in names),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in sorted(addresses)),
    ]


@dataclass(frozen=True, slots=True)
class Authority:
    """Files of a certificate that signs others, and of its key."""

    certificate: Path
    key: Path


def _make_authority(authority: Authority, common_name: str, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(name, name, key.public_key(), now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_key(authority.key, key)
    _write(authority.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _ensure_leaf(
    pki: Pki,
    name: str,
    user: str,
    groups: Sequence[str],
    now: datetime,
    server: list[x509.GeneralName] | None = None,
    authority: Authority | None = None,
) -> None:
    """A leaf signed by our authority (or the one given): user = common name, groups = organizations (Kubernetes' reading
    of X.509)."""
    files = authority or Authority(pki.ca, pki.ca_key)
    path = pki.certificate(name)
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        + [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    )
    if path.exists() and _still_good(path, now, subject, server):
        return
    issuer = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    signer = serialization.load_pem_private_key(files.key.read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(subject, issuer.subject, key.public_key(), now, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if server:
        builder = builder.add_extension(x509.SubjectAlternativeName(server), critical=False)
    _write_key(pki.key(name), key)
    _write(path, builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def _still_good(path: Path, now: datetime, subject: x509.Name, server: list[x509.GeneralName] | None) -> bool:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    if certificate.subject != subject or certificate.not_valid_after_utc - now < timedelta(days=RENEW_DAYS):
        return False
    if not server:
        return True
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(server) <= set(names)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks of containers and hosts differ a little
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(path, pem)


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(path.name + ".tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
