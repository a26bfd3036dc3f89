"""Whom we trust and who we are, as an ssl context of the standard library."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """PEM bytes of a certificate chain and its key."""

    certificate: bytes
    key: bytes

    @classmethod
    def read(cls, certificate: Path, key: Path) -> ClientCertificate:
        return cls(certificate.read_bytes(), key.read_bytes())


def client_context(
    ca: bytes | Path | None = None, certificate: ClientCertificate | None = None, *, verify: bool = True
) -> ssl.SSLContext:
    """`ca` in PEM, as bytes or the path of a file; None trusts what the machine trusts. `verify=False` trusts anyone."""
    if isinstance(ca, Path):
        context = ssl.create_default_context(cafile=ca)
    else:
        context = ssl.create_default_context(cadata=ca.decode("ascii") if ca else None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        _load(context, certificate)
    return context


def _load(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    """OpenSSL reads a key from a file only: a file in memory keeps it off the disk."""
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, certificate.certificate.rstrip() + b"\n" + certificate.key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
