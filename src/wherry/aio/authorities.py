"""aiohttp imported without the authorities this machine trusts, which take longer to read than the rest of it.

Who asks others than our API server brings a context of its own (`images/distribution.py`).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def none_read() -> Iterator[None]:
    """While it lasts, contexts made with the default authorities know none. Around an import; not to be awaited in."""
    usual = ssl.SSLContext.load_default_certs
    ssl.SSLContext.load_default_certs = lambda self, purpose=None: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        ssl.SSLContext.load_default_certs = usual  # type: ignore[method-assign]
