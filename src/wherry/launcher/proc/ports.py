"""Which ports of which address are listened on, and where that really is: a directory of symbolic links.

    <directory>/10.244.0.7/tcp-80 -> 127.98.0.7:41233

A link is made in one step, read with one system call by whoever needs it (netd, the node agent, the shim) and outlives the
shim that made it. Names beginning with `own-` are for the pod itself: what it bound on 127.0.0.1. Ports below 1024 and those
that the machine itself has in use are somewhere else than they say.
"""

from __future__ import annotations

import os
import shutil
import socket

TCP, UDP = "tcp", "udp"
ANY, OWN = "", "own-"

Place = tuple[str, int]
"""A real address."""


def directory(state: str) -> str:
    """Of a system's state directory."""
    return os.path.join(state, "run", "ports")


class Ports:
    """`find` may be called from any process, the rest belongs to the launcher's."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def clear(self) -> None:
        """Forget everything: nothing runs yet."""
        shutil.rmtree(self._directory, ignore_errors=True)
        os.makedirs(self._directory)

    def add(self, ip: str) -> None:
        """An address exists from now on."""
        os.makedirs(f"{self._directory}/{ip}", exist_ok=True)

    def drop(self, ip: str) -> None:
        shutil.rmtree(f"{self._directory}/{ip}", ignore_errors=True)

    def exists(self, ip: str) -> bool:
        return os.path.isdir(f"{self._directory}/{ip}")

    def record(self, ip: str, protocol: str, port: int, place: Place, scope: str = ANY) -> None:
        """From now on `port` of `ip` is at `place`; what was said before no longer counts."""
        path = f"{self._directory}/{ip}/{scope}{protocol}-{port}"
        beside = f"{self._directory}/{ip}/.new"
        try:
            os.unlink(beside)
        except FileNotFoundError:
            pass
        try:
            os.symlink(f"{place[0]}:{place[1]}", beside)
            os.rename(beside, path)
        except FileNotFoundError:  # its pod has just ended
            return

    def find(self, ip: str, protocol: str, port: int, scope: str = ANY) -> Place | None:
        try:
            text = os.readlink(f"{self._directory}/{ip}/{scope}{protocol}-{port}")
        except OSError:
            return None
        address, _, number = text.rpartition(":")
        return address, int(number)

    def of(self, ip: str) -> list[tuple[str, int, Place]]:
        """(protocol, port, where it really is) of what others can reach there."""
        try:
            names = sorted(os.listdir(f"{self._directory}/{ip}"))
        except OSError:
            return []
        found = []
        for name in names:
            protocol, _, port = name.partition("-")
            place = self.find(ip, protocol, int(port)) if protocol in (TCP, UDP) else None
            if place is not None:
                found.append((protocol, int(port), place))
        return found

    def reverse(self, ip: str, protocol: str, place: Place) -> int | None:
        """The port that is really at `place`."""
        wanted = f"{place[0]}:{place[1]}"
        try:
            names = os.listdir(f"{self._directory}/{ip}")
            for name in names:
                head, _, port = name.rpartition("-")
                if head.endswith(protocol) and os.readlink(f"{self._directory}/{ip}/{name}") == wanted:
                    return int(port)
        except OSError:
            return None
        return None


def real(place: Place) -> tuple[bytes, int]:
    """With the address packed."""
    return socket.inet_aton(place[0]), place[1]
