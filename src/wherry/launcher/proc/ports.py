"""Which ports of which address are listened on, and where that really is: a directory of symbolic links.

    <directory>/10.244.0.7/tcp-80 -> 127.98.0.7:41233

A link is made in one step, read with one system call by whoever needs it (netd, the node agent, the shim) and outlives the
shim that made it. Names beginning with `own-` are for the pod itself: what it bound on 127.0.0.1. Ports below 1024 and those
that the machine itself has in use are somewhere else than they say; how to find back from there is a link too:

    <directory>/10.244.0.7/at-tcp-41233 -> 80
"""

from __future__ import annotations

import mmap
import os
import shutil
import socket
from functools import lru_cache

from wherry.launcher.proc import kits

changes = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
"""Its first word grows with every change that a process of the launcher makes, which are forks of one: who remembers what was
found asks here. Written when the change is there, so an increment of two at once that counts one means both."""

TCP, UDP = "tcp", "udp"
ANY, OWN = "", "own-"

Place = tuple[str, int]
"""A real address."""


def protocol_of(sock: socket.socket) -> str:
    """Of a socket that is one of TCP or UDP."""
    return UDP if sock.type == socket.SOCK_DGRAM else TCP


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
        changes[0] += 1

    def add(self, ip: str, kit: str = "") -> None:
        """An address exists from now on. `kit`: see kits.py."""
        kits.place(kit, kits.PORTS, f"{self._directory}/{ip}")
        changes[0] += 1

    def drop(self, ip: str) -> None:
        """It does not exist any more, and nothing listens on it."""
        shutil.rmtree(f"{self._directory}/{ip}", ignore_errors=True)
        changes[0] += 1

    def exists(self, ip: str) -> bool:
        return os.path.isdir(f"{self._directory}/{ip}")

    def record(self, ip: str, protocol: str, port: int, place: Place, scope: str = ANY) -> None:
        """From now on `port` of `ip` is at `place`; what was said before no longer counts."""
        folder = f"{self._directory}/{ip}"
        try:
            _link(folder, f"{scope}{protocol}-{port}", f"{place[0]}:{place[1]}")
            if place[1] != port:
                _link(folder, f"{scope}at-{protocol}-{place[1]}", str(port))
        except FileNotFoundError:  # its pod has just ended
            return
        changes[0] += 1

    def find(self, ip: str, protocol: str, port: int, scope: str = ANY) -> Place | None:
        """Where it is; None: nobody listens there."""
        try:
            text = os.readlink(f"{self._directory}/{ip}/{scope}{protocol}-{port}")
        except OSError:
            return None
        return _parsed(text)

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

    def reverse(self, ip: str, protocol: str, place: Place, scope: str = ANY) -> int | None:
        """The port that is really at `place`."""
        port = place[1]
        if self.find(ip, protocol, port, scope) == place:
            return port
        try:
            port = int(os.readlink(f"{self._directory}/{ip}/{scope}at-{protocol}-{port}"))
        except OSError:
            return None
        return port if self.find(ip, protocol, port, scope) == place else None


def _link(folder: str, name: str, text: str) -> None:
    """Made in one step, also in the place of another one. Raises FileNotFoundError without the folder."""
    beside = f"{folder}/.new"
    try:
        os.unlink(beside)
    except FileNotFoundError:
        pass
    os.symlink(text, beside)
    os.rename(beside, f"{folder}/{name}")


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Place:
    address, _, number = text.rpartition(":")
    return address, int(number)


@lru_cache(maxsize=4096)
def real(place: Place) -> tuple[bytes, int]:
    """With the address packed."""
    return socket.inet_aton(place[0]), place[1]
