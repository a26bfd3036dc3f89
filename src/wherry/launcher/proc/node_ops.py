"""Operations on the node's network in tier `proc`: it is the machine's, and Wherry's own addresses are ports of its loopback."""

from __future__ import annotations

import socket
from typing import NoReturn

from wherry.launcher.node_ops import NodeOperations, make_socket
from wherry.launcher.proc.addresses import Block
from wherry.launcher.proc.ports import TCP, UDP, Ports
from wherry.launcher.protocol import LauncherError
from wherry.launcher.requests import Request


class ProcNode(NodeOperations):
    """Sockets that are bound to an address of the node are found through `ports`."""

    def __init__(self, ports: Ports, block: Block) -> None:
        super().__init__()
        self._ports = ports
        self._block = block

    def _make(self, request: Request) -> socket.socket:
        bind = request.args.get("bind")
        if bind is None:
            return super()._make(request)
        ip, port = str(bind[0]), int(bind[1])
        request.args["bind"] = [socket.inet_ntoa(self._block.node()), 0]
        sock = make_socket(request)
        self._ports.add(ip)
        protocol = UDP if sock.type & socket.SOCK_DGRAM else TCP
        self._ports.record(ip, protocol, port, sock.getsockname()[:2])
        return sock

    def _netlink(self, request: Request) -> NoReturn:
        raise LauncherError("Unsupported", f"{request.op}: tier proc has no network of its own")
