"""The certificates of control planes inside tests: one set per process, made when the first of them starts.

Keys are fresh in every process and no part of what a seed decides. Certificates are valid now, whatever a control plane's
clock says: those who look at them have clocks of their own.
"""

from __future__ import annotations

import atexit
from functools import cache

from wherry.aio.clock import RealClock
from wherry.cluster import pki
from wherry.cluster.options import Options
from wherry.cluster.pki import Pki
from wherry.testing.temporary import Held, sweep

PREFIX = "wherry-testing-"


class Authority:
    """The files, in a directory that goes with the process, however it ends."""

    def __init__(self) -> None:
        sweep(PREFIX)
        self._held = Held(PREFIX, guarded=True)
        atexit.register(self._held.release)
        self.files = Pki(self._held.path)
        pki.ensure(self.files, Options(), RealClock().time())
        self.certificate = self.files.ca.read_text()
        self.front_proxy_certificate = self.files.front_proxy_ca.read_text()
        self.token_key = self.files.token_key.read_bytes()


@cache
def authority() -> Authority:
    """This process's."""
    return Authority()
