"""TLS towards others: one context per bundle of authorities, and what went wrong in Go's words.

Always true: a context is made once per (authorities, identity, insecure) and remembered; reading a bundle takes half a
millisecond, which a webhook on every write would notice.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from pathlib import Path

from msgspec import Struct

from wherry.apiserver.outward import OutwardError

CONTEXTS_MAX = 64
"""Bundles are as many as webhooks and APIServices; older ones are read again."""
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
_EXPIRED = frozenset({9, 10})
_WRONG_NAME = frozenset({62, 64})


class Identity(Struct, frozen=True):
    """Files of a client certificate we show."""

    certificate: Path
    key: Path


class Trust:
    """Contexts by what they trust and whom they show."""

    def __init__(self) -> None:
        self._contexts: OrderedDict[tuple[bytes, bool, Identity | None], ssl.SSLContext] = OrderedDict()

    def context(self, ca_bundle: bytes, insecure: bool = False, identity: Identity | None = None) -> ssl.SSLContext:
        """Raises OutwardError for a bundle without a certificate."""
        key = (ca_bundle, insecure, identity)
        known = self._contexts.get(key)
        if known is None:
            known = self._contexts[key] = _make(*key)
            if len(self._contexts) > CONTEXTS_MAX:
                self._contexts.popitem(last=False)
        return known


def _make(ca_bundle: bytes, insecure: bool, identity: Identity | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Go takes whatever is in the bundle for an anchor, also a server's own certificate.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_bundle:
        try:
            context.load_verify_locations(cadata=ca_bundle.decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError, ValueError):
            raise OutwardError("unable to load root certificates: unable to parse bytes as PEM block") from None
    else:
        context.load_default_certs()
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    return context


def problem(error: ssl.SSLError, server_name: str) -> str:
    """Why a handshake failed, as Go's crypto/tls says it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code in _UNKNOWN_AUTHORITY:
            why = "certificate signed by unknown authority"
        elif code in _EXPIRED:
            why = "certificate has expired or is not yet valid"
        elif code in _WRONG_NAME:
            why = f"certificate is not valid for any names, but wanted to match {server_name}"
        else:
            why = error.verify_message
        return f"tls: failed to verify certificate: x509: {why}"
    reason = (error.reason or "").replace("_", " ").lower()
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return "http: server gave HTTP response to HTTPS client"
    if "alert" in reason:
        return f"remote error: tls: {reason.partition('alert ')[2] or reason}"
    return f"tls: {reason or error}"
