"""What a control plane inside a test may be told, its defaults and their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from wherry.aio.clock import parse_rfc3339
from wherry.cluster.options import Options

START = "2026-01-01T00:00:00Z"
"""A Thursday. The same in every run: dates are part of what a test sees."""
HPA_SYNC_SECONDS = 15.0
"""kube-controller-manager's default. A system of processes looks every second, which a virtual day need not."""


@dataclass(frozen=True, slots=True)
class Settings:
    """As given; what is wrong with it is said by whoever asks for `options` or `epoch`."""

    kubernetes_version: str = "1.36"
    nodes: int = 1
    seed: int = 0
    virtual_time: bool = True
    start: str | datetime = START

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
