"""Whom a client certificate names, once TLS has verified it."""

from __future__ import annotations

import hashlib
from typing import Any

from wherry.apiserver.auth.user import AUTHENTICATED, CREDENTIAL_ID, User


def certificate_user(certificate: dict[str, Any], der: bytes) -> User | None:
    """CN is the name, every O a group, the fingerprint its credential; None without a CN."""
    name, groups = "", []
    for relative in certificate.get("subject", ()):
        for key, value in relative:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    if not name:
        return None
    extra = {CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)}
    return User(name, tuple(groups), "", extra).with_group(AUTHENTICATED)
