"""A bearer token as browsers must send it, who cannot set headers on a WebSocket: among the subprotocols.

`Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.TOKEN, v5.channel.k8s.io`, the token in base64url without
padding. It must not be the only one, and nobody behind the authentication sees it. Pure.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

HEADER = "sec-websocket-protocol"
PREFIX = "base64url.bearer.authorization.k8s.io."


def taken_from(headers: Mapping[str, str]) -> tuple[str, Mapping[str, str]] | None:
    """The token and the headers without it; None when there is none. A token that cannot be read is "" ."""
    offered = headers.get(HEADER, "")
    if PREFIX not in offered or headers.get("upgrade", "").lower() != "websocket":
        return None
    protocols = [each.strip() for part in offered.split("\n") for each in part.split(",")]
    tokens = [each[len(PREFIX) :] for each in protocols if each.startswith(PREFIX)]
    others = [each for each in protocols if each and not each.startswith(PREFIX)]
    rest = {**headers, HEADER: ", ".join(others)}
    if len(tokens) != 1 or not others:
        return "", rest
    try:
        raw = base64.b64decode(tokens[0] + "=" * (-len(tokens[0]) % 4), altchars=b"-_", validate=True)
        return raw.decode(), rest
    except (binascii.Error, ValueError):
        return "", rest
