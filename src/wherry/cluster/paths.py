"""Where everything of one system lies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def default_state_directory(name: str) -> Path:
    """`$XDG_STATE_HOME/wherry/NAME`; for root `/var/lib/wherry/NAME`, so that sudo with or without -H finds the same."""
    if os.geteuid() == 0:
        return Path("/var/lib/wherry") / name
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "wherry" / name


@dataclass(frozen=True, slots=True)
class State:
    """The state directory of one system, mode 0700."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def run(self) -> Path:
        """Sockets and pid files; nothing in it is worth keeping."""
        return self.root / "run"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def database(self) -> Path:
        return self.root / "storage.db"

    @property
    def encryption_keys(self) -> Path:
        """What Secrets are encrypted with in the database; may be a link to a file on another disk."""
        return self.pki / "encryption.json"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def pods(self) -> Path:
        return self.root / "pods"

    @property
    def nodes(self) -> Path:
        """`<name>/pods` and `<name>/logs` of every node but the first."""
        return self.root / "nodes"

    @property
    def pod_logs(self) -> Path:
        return self.root / "logs" / "pods"

    @property
    def volumes(self) -> Path:
        """Directories of PersistentVolumes of class `standard`."""
        return self.root / "volumes"

    @property
    def launcher_socket(self) -> Path:
        return self.run / "launcher.sock"

    @property
    def netd_socket(self) -> Path:
        return self.run / "netd.sock"

    @property
    def chaos(self) -> Path:
        """Faults made on purpose, while they hold."""
        return self.run / "chaos"

    @property
    def tier(self) -> Path:
        """Which tier the running system uses."""
        return self.run / "tier"

    @property
    def ready(self) -> Path:
        """There while a control plane listens: its pid. A file costs a waiting command nothing, a TLS handshake does."""
        return self.run / "ready"

    def kubelet_socket(self, node: str) -> Path:
        return self.run / f"kubelet-{node}.sock"

    def log(self, role: str) -> Path:
        return self.root / "logs" / f"{role}.log"

    def pid_file(self, role: str) -> Path:
        return self.run / f"{role}.pid"

    def prepare(self) -> None:
        """Make the directories, only for their owner."""
        logs = self.pod_logs.parent  # a parent made on the way would get the umask's mode
        pods = (self.pods, self.nodes, logs, self.pod_logs, self.volumes)
        for directory in (self.root, self.run, self.pki, self.images, *pods):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root.chmod(0o700)
