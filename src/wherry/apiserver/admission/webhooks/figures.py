"""What webhooks answered and how long they took, under Kubernetes' names for /metrics.

Only who asks a webhook pays. Series are named after webhooks, which come and go: beyond `SERIES_MAX` their names are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

from wherry.api.exposition import Family, Sample
from wherry.api.histogram import Histogram

BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0)
"""Seconds; Kubernetes'."""
SERIES_MAX = 1024
CALLING = "calling_webhook_error"
INTERNAL = "apiserver_internal_error"
NO_ERROR = "no_error"
"""Why a webhook's answer was no: it could not be asked, what it said could not be done, it said no."""
_Key: TypeAlias = tuple[str, ...]


class WebhookFigures:
    """Of one plugin."""

    def __init__(self, mutating: bool) -> None:
        self.mutating = mutating
        self._took: dict[_Key, Histogram] = {}
        self._asked: Counter[_Key] = Counter()
        self._rejections: Counter[_Key] = Counter()
        self._failed_open: Counter[_Key] = Counter()

    def asked(self, name: str, operation: str, seconds: float, rejected: bool, code: int) -> None:
        """One call. `code` is what the client would have got of it alone."""
        name, said = self._bounded(name), str(rejected).lower()
        key = (name, operation, said)
        if key not in self._took:
            self._took[key] = Histogram(BUCKETS)
        self._took[key].observe(seconds)
        self._asked[(str(code), *key)] += 1

    def rejected(self, name: str, operation: str, why: str, code: int) -> None:
        self._rejections[(why, self._bounded(name), operation, str(code))] += 1

    def failed_open(self, name: str) -> None:
        self._failed_open[(self._bounded(name),)] += 1

    def families(self) -> Iterable[Family]:
        prefix, kind = "apiserver_admission_webhook_", {"type": "admit" if self.mutating else "validating"}
        took: list[Sample] = []
        for (name, operation, rejected), histogram in sorted(self._took.items()):
            labels = {"name": name, "operation": operation, "rejected": rejected, **kind}
            took += histogram.samples(labels)
        yield Family(f"{prefix}admission_duration_seconds", "histogram", "How long webhooks took.", took)
        for suffix, counter, labels_of, text in (
            ("request_total", self._asked, ("code", "name", "operation", "rejected"), "Calls of webhooks."),
            (
                "rejection_count",
                self._rejections,
                ("error_type", "name", "operation", "rejection_code"),
                "Requests that did not pass because of a webhook.",
            ),
            ("fail_open_count", self._failed_open, ("name",), "Failures of webhooks that were ignored."),
        ):
            counted = sorted(counter.items())
            samples = [Sample(dict(zip(labels_of, key, strict=True)) | kind, value) for key, value in counted]
            yield Family(prefix + suffix, "counter", text, samples)

    def _bounded(self, name: str) -> str:
        full = len(self._took) + len(self._rejections) + len(self._failed_open) >= SERIES_MAX
        return "" if full and not any(key[0] == name for key in self._took) else name
