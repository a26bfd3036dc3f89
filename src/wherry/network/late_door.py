"""What the doors of tier `proc` share: where they are, whose calls they carry, and what carries them on. See `relay_way.py`."""

from __future__ import annotations

import socket

from wherry.chaos.between import Between, Pair
from wherry.launcher.proc.ports import Place

_IP_BIND_ADDRESS_NO_PORT = 24


def listening(place: Place, kind: int) -> socket.socket:
    """A socket beside `place`, on a port of its own. Raises OSError."""
    sock = socket.socket(socket.AF_INET, kind)
    try:
        sock.setblocking(False)
        sock.bind((place[0], 0))
    except OSError:
        sock.close()
        raise
    return sock


def onward(kind: int, caller: str, place: Place) -> socket.socket:
    """A socket to go on to `place` with, which is seen to come from where the caller came from. Raises OSError."""
    sock = socket.socket(socket.AF_INET, kind)
    try:
        sock.setblocking(False)
        if _block(caller) == _block(place[0]):
            if kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((caller, 0))
    except OSError:
        sock.close()
        raise
    return sock


def there(between: Between, caller: str, place: Place, ip: str) -> Pair:
    """The pods whose call it is: of a caller at a loopback address and the pod `ip`, which is really at `place`.

    Where the shim rewrites memory callers are at 127.0.0.1: then it is one of those whom the shim leads here, whichever.
    """
    if _block(caller) == _block(place[0]):
        return ".".join((*ip.split(".")[:2], *caller.split(".")[2:])), ip
    for line in between.lines():
        for sources, targets in ((line.sources, line.targets), (line.targets, line.sources)):
            if ip in targets:
                return min(sources), ip
    return "", ip


def _block(ip: str) -> list[str]:
    return ip.split(".")[:2]
