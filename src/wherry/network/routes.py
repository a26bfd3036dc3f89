"""The two routes the rules lean on, as rtnetlink bytes: the gateway's address on `lo`, and a default route that ends there.

Is: idempotent, pure. Is not: the pods' veths and routes, which the launcher makes with the sandbox.
Why: a connection of the node's own namespace (a pod with hostNetwork) is translated in the output hook, which a packet
without a route never reaches. What is forwarded to that route is refused in the `forward` chain.
"""

from __future__ import annotations

import socket
import struct

from wherry.network.nfnetlink import NLM_F_ACK, NLM_F_CREATE, Message, attr

NETLINK_ROUTE = 0
_REPLACE = 0x100
_NEWADDR, _NEWROUTE = 20, 24
_LO = 1  # the index of lo in every namespace


def setup(gateway: str) -> list[Message]:
    """Messages for NETLINK_ROUTE, each its own transaction."""
    address = socket.inet_aton(gateway)
    lo = attr(4, struct.pack("=I", _LO))  # RTA_OIF
    return [
        # ifaddrmsg: family, prefix length, flags, scope, index; IFA_LOCAL, IFA_ADDRESS
        Message(
            _NEWADDR,
            NLM_F_CREATE | _REPLACE,
            struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, _LO) + attr(2, address) + attr(1, address),
        ),
        # rtmsg: family, dst, src, tos, table main, protocol boot, scope link, unicast, flags; RTA_PREFSRC
        Message(
            _NEWROUTE,
            NLM_F_CREATE | _REPLACE,
            struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 3, 253, 1, 0) + lo + attr(7, address),
        ),
    ]


def encode(messages: list[Message]) -> bytes:
    return b"".join(message.encode(seq + 1, NLM_F_ACK) for seq, message in enumerate(messages))
