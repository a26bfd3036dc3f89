"""Where the certificates and keys of one system lie, and whether they are due. Making them is `certificates.py`'s.

Looking costs a stat and a small file: the cryptography library is imported only when something has to be made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.cluster import private
from wherry.cluster.members import members
from wherry.cluster.options import Options

if TYPE_CHECKING:
    from wherry.aio.clock import Clock

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


def ensure(pki: Pki, options: Options, clock: Clock) -> None:
    """Make what is missing or about to expire. Idempotent; safe after a crash."""
    nodes = members(options)
    names = [options.address, options.api_service_ip, options.pod_gateway, options.service_domain]
    names += [each.name for each in nodes]
    if _checked_lately(pki, names, [each.role for each in nodes], clock.time()):
        return
    from wherry.cluster import certificates

    certificates.ensure(pki, options, clock)
    private.write(pki.checked, json.dumps({"at": clock.time(), "names": names}))


def _checked_lately(pki: Pki, names: list[str], agents: list[str], now: float) -> bool:
    try:
        found = json.loads(pki.checked.read_text())
    except (FileNotFoundError, ValueError):
        return False
    leaves = ("apiserver", "admin", "front-proxy-client", *agents)
    files = [pki.ca, pki.front_proxy_ca, pki.token_key, *map(pki.certificate, leaves), *map(pki.key, leaves)]
    return found["names"] == names and 0 <= now - found["at"] < CHECK_SECONDS and all(map(Path.exists, files))
