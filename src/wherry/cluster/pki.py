"""Where the certificates and keys of one system lie, and whether they are due. Making them is `certificates.py`'s.

Looking costs a stat and a small file: the cryptography library is imported only when something has to be made.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wherry.cluster import private
from wherry.cluster.members import members
from wherry.cluster.options import Options

CHECK_SECONDS = 24 * 3600.0  # leaves are renewed 30 days before they end: once a day is often enough


@dataclass(frozen=True, slots=True)
class Pki:
    """Paths of the files; PEM throughout."""

    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def ca_key(self) -> Path:
        return self.directory / "ca.key"

    @property
    def front_proxy_ca(self) -> Path:
        """Signs the certificate by which aggregated API servers know us: theirs to trust, so not the clients' authority."""
        return self.directory / "front-proxy-ca.crt"

    @property
    def front_proxy_ca_key(self) -> Path:
        return self.directory / "front-proxy-ca.key"

    @property
    def token_key(self) -> Path:
        """Private key that signs service account tokens (ES256)."""
        return self.directory / "sa.key"

    def certificate(self, name: str) -> Path:
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.directory / f"{name}.key"

    @property
    def checked(self) -> Path:
        """When and for which options everything was last found good."""
        return self.directory / "checked.json"


def ensure(pki: Pki, options: Options, now: float) -> None:
    """Make what is missing or about to expire at `now`, in Unix seconds. Idempotent; safe after a crash. Of two processes that
    call it at once one makes everything and the other waits and finds it."""
    if _good(pki, options, now):
        return
    pki.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(pki.directory):
        if _good(pki, options, now):
            return
        from wherry.cluster import certificates

        certificates.ensure(pki, options, now)
        private.write(pki.checked, json.dumps({"at": now, "names": _names(options)}))


def _names(options: Options) -> list[str]:
    """What certificates say of a system and may change."""
    names = [options.address, options.api_service_ip, options.pod_gateway, options.service_domain]
    return names + [each.name for each in members(options)]


def _good(pki: Pki, options: Options, now: float) -> bool:
    """Whether everything is there and was looked at lately."""
    try:
        found = json.loads(pki.checked.read_text())
    except (FileNotFoundError, ValueError):
        return False
    leaves = ("apiserver", "admin", "front-proxy-client", *(each.role for each in members(options)))
    files = [pki.ca, pki.front_proxy_ca, pki.token_key, *map(pki.certificate, leaves), *map(pki.key, leaves)]
    lately = 0 <= now - found["at"] < CHECK_SECONDS
    return lately and found["names"] == _names(options) and all(map(Path.exists, files))


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """The kernel lets go of it for a process that was killed."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
