"""Who is calling: a JSON Web Token (RFC 7519, HS256) that every service verifies by itself, and the administrator's key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from shopkit.settings import setting

TOKEN_SECONDS = 8 * 3600


class BadToken(Exception):
    """Not ours, changed, or too old."""


def issue(user: str, name: str, now: float | None = None) -> str:
    claims = {"sub": user, "name": name, "exp": int((now or time.time()) + TOKEN_SECONDS)}
    signed = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
    return f"{signed}.{_signature(signed)}"


def verify(token: str, now: float | None = None) -> dict[str, Any]:
    """The claims. Raises BadToken."""
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(_signature(signed).encode(), signature.encode()):
        raise BadToken("the signature is wrong")
    body = signed.partition(".")[2]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    if claims["exp"] < (now or time.time()):
        raise BadToken("the token is too old: log in again")
    return claims


def _encode(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _signature(signed: str) -> str:
    digest = hmac.new(setting("JWT_KEY").encode(), signed.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
