"""What a control plane inside a test may be told, its defaults and their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from wherry.aio.clock import parse_rfc3339
from wherry.cluster.options import Options
from wherry.testing.durations import Duration, seconds

START = "2026-01-01T00:00:00Z"
"""A Thursday. The same in every run: dates are part of what a test sees."""
HPA_SYNC_SECONDS = 15.0
"""kube-controller-manager's default. A system of processes looks every second, which a virtual day need not."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`heartbeat`: how often nodes renew their leases (30 s); a node is given up after four thirds of it. A test that runs
    for a virtual year has no use for a million heartbeats: `heartbeat="6h"`."""

    kubernetes_version: str = "1.36"
    nodes: int = 1
    seed: int = 0
    virtual_time: bool = True
    start: str | datetime = START
    heartbeat: Duration | None = None

    @property
    def options(self) -> Options:
        """Raises OptionError."""
        return Options(
            kubernetes_version=self.kubernetes_version,
            simulated_nodes=self.nodes,
            hpa_sync_seconds=HPA_SYNC_SECONDS if self.virtual_time else 1.0,
        ).check()

    @property
    def epoch(self) -> float:
        """Unix seconds at which virtual time begins."""
        if isinstance(self.start, datetime):
            if self.start.tzinfo is None:
                raise ValueError(f"start={self.start!r} has no time zone")
            return self.start.timestamp()
        return parse_rfc3339(self.start)

    @property
    def heartbeat_seconds(self) -> float | None:
        return None if self.heartbeat is None else seconds(self.heartbeat)
