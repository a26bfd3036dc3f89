"""Which backend each random number, or each client, leads to.

A rule in the kernel draws a number below a fixed width and looks it up, so a service is `width` map elements. Is: the
two ways to fill the width. Always true: `balanced` gives any two backends counts that differ by at most one and moves as
few slots as it can; `sticky` depends on nothing but the set of backends: a restarted agent computes the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from wherry.network.services import Backend

NARROW = 60
"""Divides evenly among 1-6, 10, 12, 15, 20, 30 or 60 backends: 0.25 ms to write."""
WIDE = 840
"""For more than `NARROW_BACKENDS_MAX` backends: at 100 of them a share is 8 or 9 slots."""
STICKY = 240
NARROW_BACKENDS_MAX = 12
"""Above it 60 slots would give some backends a quarter more than others."""
BACKENDS_MAX = WIDE
"""More ready endpoints than this on one machine do not exist in practice; the first 840 in order are used."""


def balanced(
    backends: Sequence[Backend], width: int, previous: Sequence[Backend | None] | None = None
) -> tuple[Backend, ...]:
    """`width` slots shared evenly; slots of `previous` keep their backend as far as that is possible."""
    if not backends:
        return ()
    chosen = sorted(set(backends))[:width]
    share, extra = divmod(width, len(chosen))
    counts = dict.fromkeys(chosen, 0)
    slots: list[Backend | None] = [None] * width
    for at, backend in enumerate((previous or ())[:width]):
        if backend is None or backend not in counts:
            continue
        if counts[backend] == share:
            if not extra:
                continue
            extra -= 1
        elif counts[backend] > share:
            continue
        counts[backend] += 1
        slots[at] = backend
    hungry = [b for b in chosen for _ in range(share - counts[b])]
    hungry += [b for b in chosen if counts[b] <= share][:extra]
    rest = iter(hungry)
    return tuple(backend if backend is not None else next(rest) for backend in slots)


def sticky(backends: Sequence[Backend], width: int = STICKY) -> tuple[Backend, ...]:
    """Rendezvous hashing: a slot keeps its backend while that exists, and 1 in n moves when the n-th is added.

    A client is mapped to a slot by a hash of its address, so `sessionAffinity: ClientIP` holds for as long as the
    backend does; its timeout (10800 s by default) never ends it sooner.
    """
    chosen = sorted(set(backends))[:BACKENDS_MAX]
    if not chosen:
        return ()
    hashes = [(_hash(f"{backend.ip}:{backend.port}"), backend) for backend in chosen]
    return tuple(_heaviest(_hash(f"slot {slot}"), hashes) for slot in range(width))


def favourite(key: str, backends: Sequence[Backend]) -> Backend:
    """The backend that `key` (a client's address) sticks to, by the same rule; `backends` is not empty."""
    return _heaviest(_hash(key), [(_hash(f"{backend.ip}:{backend.port}"), backend) for backend in backends])


def _hash(key: str) -> int:
    """64 bits that are the same in every process."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def _heaviest(key: int, hashes: Sequence[tuple[int, Backend]]) -> Backend:
    return max(((key ^ h) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF, backend) for h, backend in hashes)[1]
