"""The key that signs service account tokens, and the JWT library: imported when the first token is made or shown."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from wherry.api.types import Obj


class SigningKey:
    """An EC P-256 or RSA private key. Raises TypeError for another."""

    def __init__(self, pem: bytes) -> None:
        key = load_pem_private_key(pem, None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            self.algorithm = "ES256"
        elif isinstance(key, rsa.RSAPrivateKey):
            self.algorithm = "RS256"
        else:
            raise TypeError("the service account key must be an EC or RSA private key")
        self._key: Any = key
        self._public: Any = key.public_key()
        der = self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self._id = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")

    def sign(self, claims: Obj) -> str:
        """RFC 7519, compact."""
        return jwt.encode(claims, self._key, self.algorithm, headers={"kid": self._id})

    def verified(self, token: str) -> Obj | None:
        """The claims if this key signed them, whatever they say; None for anything else."""
        try:
            claims: Obj = jwt.decode(
                token,
                self._public,
                algorithms=[self.algorithm],
                options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, TypeError, ValueError):
            return None
        return claims

    def jwk(self) -> Obj:
        """RFC 7517, the public half."""
        numbers = self._public.public_numbers()
        if self.algorithm == "ES256":
            size = (self._public.curve.key_size + 7) // 8
            key = {"kty": "EC", "crv": "P-256", "x": _base64(numbers.x, size), "y": _base64(numbers.y, size)}
        else:
            key = {
                "kty": "RSA",
                "n": _base64(numbers.n, (numbers.n.bit_length() + 7) // 8),
                "e": _base64(numbers.e, (numbers.e.bit_length() + 7) // 8),
            }
        return {"use": "sig", "kid": self._id, "alg": self.algorithm, **key}


def _base64(number: int, size: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(size, "big")).decode().rstrip("=")
