"""Whom we trust and who we are, as an ssl context of the standard library."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TypeAlias

Pem: TypeAlias = bytes | Path
"""PEM text, or the file it is in."""


def client_context(
    ca: Pem | None = None, certificate: Pem | None = None, key: Pem | None = None, *, verify: bool = True
) -> ssl.SSLContext:
    """Without `ca` whom the machine trusts is trusted; `verify=False` trusts anyone. A certificate needs its key.

    Raises OSError (a file is missing) and ssl.SSLError (it is not what it should be).
    """
    context = ssl.create_default_context(cadata=_read(ca).decode("ascii") if ca is not None else None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        assert key is not None, "a client certificate needs its key"
        _load(context, _read(certificate).rstrip() + b"\n" + _read(key))
    return context


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """OpenSSL reads a key from a file only: a file in memory keeps it off the disk."""
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _read(pem: Pem) -> bytes:
    return pem.read_bytes() if isinstance(pem, Path) else pem
