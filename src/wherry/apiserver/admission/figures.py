"""How long admission took, by plugin and by phase, under Kubernetes' names for /metrics.

The chain keeps a plugin's histogram beside the plugin, so that a write pays one look at the clock per plugin and no search.
Bounded by plugins x operations x 2; nothing here depends on what clients send.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from wherry.api.exposition import Family, Sample
from wherry.api.histogram import Histogram

BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)
"""Seconds; Kubernetes'."""
OPERATIONS = frozenset({"CREATE", "UPDATE", "DELETE", "CONNECT"})
Key: TypeAlias = tuple[str, str, str, bool]
"""(plugin, or "" for the whole phase; "admit" or "validate"; operation; rejected)."""


class Figures:
    """Of one chain."""

    def __init__(self) -> None:
        self._found: dict[Key, Histogram] = {}

    def of(self, plugin: str, phase: str, operation: str, rejected: bool = False) -> Histogram:
        key = (plugin, phase, operation, rejected)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = Histogram(BUCKETS)
        return found

    def families(self) -> Iterable[Family]:
        by_plugin: list[Sample] = []
        by_phase: list[Sample] = []
        for (plugin, phase, operation, rejected), histogram in sorted(self._found.items(), key=lambda pair: pair[0]):
            if not any(histogram.counts):
                continue
            labels = {"operation": operation, "rejected": str(rejected).lower(), "type": phase}
            if plugin:
                by_plugin += histogram.samples({"name": plugin, **labels})
            else:
                by_phase += histogram.samples(labels)
        prefix = "apiserver_admission_"
        text = "How long an admission plugin took, by plugin, operation and phase."
        yield Family(f"{prefix}controller_admission_duration_seconds", "histogram", text, by_plugin)
        text = "How long all of admission took, by operation and phase."
        yield Family(f"{prefix}step_admission_duration_seconds", "histogram", text, by_phase)
