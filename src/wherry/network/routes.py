"""The route the rules lean on, as rtnetlink bytes: a default route of the node's namespace that ends in `lo`.

Is: idempotent, pure. Is not: the pods' veths and routes, which the launcher makes with the sandbox.
Why: a connection from the node's namespace to a service is translated in the output hook, which a packet without a route
never reaches. What a pod sends there is refused at once in the `forward` chain, instead of in silence.
"""

from __future__ import annotations

import socket
import struct

from wherry.network.nfnetlink import NLM_F_ACK, NLM_F_CREATE, Message, attr

NETLINK_ROUTE = 0
_REPLACE = 0x100
_NEWROUTE = 24
_OIF, _PREFSRC = 4, 7
_MAIN, _BOOT, _LINK, _UNICAST = 254, 3, 253, 1
_LO = 1  # the index of lo in every namespace


def default_route(gateway: str) -> bytes:
    """One acknowledged message for NETLINK_ROUTE: what leaves by it has the gateway's address as its source."""
    # rtmsg: family, destination bits, source bits, tos, table, protocol, scope, type, flags
    head = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, _MAIN, _BOOT, _LINK, _UNICAST, 0)
    body = head + attr(_OIF, struct.pack("=I", _LO)) + attr(_PREFSRC, socket.inet_aton(gateway))
    return Message(_NEWROUTE, NLM_F_CREATE | _REPLACE, body).encode(1, NLM_F_ACK)
