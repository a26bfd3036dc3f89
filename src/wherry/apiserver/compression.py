"""gzip of large answers, for clients that take it: as kube-apiserver, from 128 KiB on and at the quickest level.

Always true: a large answer is compressed in a thread, so that one client's list is not the others' wait.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping

GZIP_BYTES_MIN = 128 << 10
"""Below it compressing costs more than it saves."""
_THREAD_BYTES_MIN = 512 << 10
"""About two milliseconds of work."""
_LEVEL = 1
_GZIP = 16 + zlib.MAX_WBITS
HEADERS = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}


def takes_gzip(headers: Mapping[str, str]) -> bool:
    """Whether Accept-Encoding names gzip and does not refuse it (`q=0`)."""
    accept = headers.get("accept-encoding")
    if not accept:
        return False
    for clause in accept.replace("\n", ",").split(","):
        coding, _, parameter = clause.partition(";")
        if coding.strip().lower() == "gzip":
            quality = parameter.replace(" ", "").lower()
            return not (quality.startswith("q=0") and not quality.strip("q=0."))
    return False


async def gzipped(data: bytes) -> bytes:
    if len(data) < _THREAD_BYTES_MIN:
        return _compress(data)
    return await asyncio.to_thread(_compress, data)


def _compress(data: bytes) -> bytes:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return compressor.compress(data) + compressor.flush()
