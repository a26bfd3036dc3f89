"""Operations on the node's network namespace (sockets, netlink) and the second holder of descriptors."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Mapping

from wherry.launcher import protocol, rtnetlink
from wherry.launcher.protocol import FDS_MAX, LauncherError
from wherry.launcher.requests import Operation, Request
from wherry.launcher.syscalls import SyscallError

SOCKETS_MAX = 200  # per answer: below SCM_MAX_FD, and a pool larger than this is filled by asking again
KEPT_MAX = 4096  # descriptors held for others; a launcher without a bound would be a leak with a name

_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
_TYPES = {"tcp": socket.SOCK_STREAM, "stream": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "dgram": socket.SOCK_DGRAM}


class NodeOperations:
    """Called in the node's network namespace."""

    def __init__(self) -> None:
        self._sockets: dict[str, socket.socket] = {}
        self._kept: dict[str, list[int]] = {}
        self._netlink_sockets: dict[int, socket.socket] = {}

    def operations(self) -> Mapping[str, Operation]:
        return {
            "node.socket": self._socket,
            "node.sockets": self._several,
            "node.netlink": self._netlink,
            "fds.put": self._put,
            "fds.list": self._list,
            "fds.take": self._take,
            "fds.drop": self._drop,
        }

    def _socket(self, request: Request) -> None:
        """One socket, listening or bound if asked; with `keep` everyone who names it gets the same one.

        family (inet, inet6 or AF_ number), type (tcp, udp or SOCK_ number), bind [address, port] | None, backlog, freebind.
        """
        keep = request.text("keep", "")
        sock = self._sockets.get(keep) if keep else None
        if sock is None:
            sock = self._make(request)
            if keep:
                self._sockets[keep] = sock
        try:
            request.answer({"name": list(sock.getsockname()[:2])}, [sock.fileno()])
        finally:
            if not keep:
                sock.close()

    def _make(self, request: Request) -> socket.socket:
        return make_socket(request)

    def _several(self, request: Request) -> None:
        """count (at most SOCKETS_MAX) unconnected, non-blocking TCP sockets."""
        count = request.number("count")
        if not 0 < count <= SOCKETS_MAX:
            raise LauncherError("InvalidArgument", f"node.sockets: count must be in 1...{SOCKETS_MAX}, not {count}")
        made: list[socket.socket] = []
        try:
            for _ in range(count):
                sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                sock.setblocking(False)
                made.append(sock)
            request.answer({}, [sock.fileno() for sock in made])
        finally:
            for sock in made:
                sock.close()

    def _netlink(self, request: Request) -> None:
        """protocol (0 route, 12 netfilter), payload (base64) -> replies (base64)."""
        payload = base64.b64decode(request.text("payload"), validate=True)
        family = request.number("protocol")
        sock = self._netlink_sockets.get(family)
        if sock is None:
            sock = self._netlink_sockets[family] = rtnetlink.raw_socket(family)
        try:
            replies = rtnetlink.transact_raw(sock, payload)
        except SyscallError:
            self._netlink_sockets.pop(family).close()
            raise
        request.answer({"replies": base64.b64encode(replies).decode()})

    def _put(self, request: Request) -> None:
        """Hold the sent descriptors under `name`; what was there before is dropped."""
        name = request.text("name")
        fds = request.take_fds()
        held = sum(len(group) for group in self._kept.values())
        if held + len(fds) > KEPT_MAX:
            protocol.close_fds(fds)
            raise LauncherError("TooMany", f"fds.put: {held} descriptors are held already, at most {KEPT_MAX} can be")
        protocol.close_fds(self._kept.pop(name, []))
        self._kept[name] = fds
        request.answer()

    def _list(self, request: Request) -> None:
        """The names that start with `prefix`, sorted."""
        prefix = request.text("prefix", "")
        request.answer({"names": sorted(name for name in self._kept if name.startswith(prefix))})

    def _take(self, request: Request) -> None:
        """Duplicates of what is held under `name`."""
        fds = self._kept.get(request.text("name"))
        if fds is None:
            raise LauncherError("NotFound", f"no descriptors are held as {request.text('name')!r}")
        assert len(fds) <= FDS_MAX
        request.answer({}, fds)

    def _drop(self, request: Request) -> None:
        """Let go of `names` (held descriptors and kept sockets); unknown ones are no error."""
        for name in request.args.get("names") or []:
            protocol.close_fds(self._kept.pop(name, []))
            kept = self._sockets.pop(name, None)
            if kept is not None:
                kept.close()
        request.answer()


def make_socket(request: Request) -> socket.socket:
    """What `node.socket` asks for."""
    family = request.args.get("family", "inet")
    kind = request.args.get("type", "tcp")
    sock = socket.socket(_FAMILIES.get(family, family), _TYPES.get(kind, kind))
    try:
        sock.setblocking(False)
        bind = request.args.get("bind")
        if bind is not None:
            _bind(sock, str(bind[0]), int(bind[1]), freebind=bool(request.args.get("freebind")))
        backlog = request.number("backlog", 0)
        if backlog:
            sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, address: str, port: int, *, freebind: bool) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if freebind:
        sock.setsockopt(socket.SOL_IP, socket.IP_FREEBIND if hasattr(socket, "IP_FREEBIND") else 15, 1)
    try:
        sock.bind((address, port))
    except OSError as error:
        reason = "AddressInUse" if error.errno == 98 else "Kernel"
        text = os.strerror(error.errno or 0)
        raise LauncherError(reason, f"bind {address}:{port} in the node's network: {text}") from error
