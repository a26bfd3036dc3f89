"""The certificates of control planes inside tests: one set per process, made when the first of them starts.

Keys are fresh in every process and no part of what a seed decides. Certificates are valid now, whatever a control plane's
clock says: those who look at them have clocks of their own.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from wherry.aio.clock import RealClock
from wherry.cluster import pki
from wherry.cluster.options import Options
from wherry.cluster.pki import Pki


class Authority:
    """The files, in a directory that goes with the process."""

    def __init__(self) -> None:
        folder = tempfile.mkdtemp(prefix="wherry-testing-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self.files = Pki(Path(folder))
        pki.ensure(self.files, Options(), RealClock())
        self.certificate = self.files.ca.read_text()
        self.front_proxy_certificate = self.files.front_proxy_ca.read_text()
        self.token_key = self.files.token_key.read_bytes()


@cache
def authority() -> Authority:
    """This process's."""
    return Authority()
