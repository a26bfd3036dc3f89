"""Work queues on /metrics, under client-go's names. Nothing is counted here: the queues know, and are asked when scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from wherry.api.exposition import Family, Sample
from wherry.reconcile.workqueue import WorkQueue

_FIGURES: tuple[tuple[str, Literal["counter", "gauge"], str, str], ...] = (
    ("adds_total", "counter", "adds", "Keys added."),
    ("depth", "gauge", "depth", "Keys that wait."),
    ("retries_total", "counter", "retries", "Keys that came again after a failure."),
)


def work_queues(queues: Callable[[], Mapping[str, WorkQueue[Any]]]) -> Callable[[], Iterable[Family]]:
    """A collector for `apiserver.metrics.Metrics`; the names of the queues are the label `name`."""

    def collect() -> Iterable[Family]:
        found = [({"name": name}, queue) for name, queue in sorted(queues().items())]
        figures = [(labels, queue.statistics()) for labels, queue in found]
        for suffix, kind, key, text in _FIGURES:
            yield Family(f"workqueue_{suffix}", kind, text, [Sample(labels, values[key]) for labels, values in figures])
        lasting = [(labels, queue.working_seconds()) for labels, queue in found]
        longest = [Sample(labels, max(seconds, default=0.0)) for labels, seconds in lasting]
        together = [Sample(labels, sum(seconds)) for labels, seconds in lasting]
        text = "How long the longest work lasts until now."
        yield Family("workqueue_longest_running_processor_seconds", "gauge", text, longest)
        text = "How long all work under way lasts until now, together."
        yield Family("workqueue_unfinished_work_seconds", "gauge", text, together)
        waited = [sample for labels, queue in found for sample in queue.waited.samples(labels)]
        worked = [sample for labels, queue in found for sample in queue.worked.samples(labels)]
        yield Family("workqueue_queue_duration_seconds", "histogram", "How long keys waited for their turn.", waited)
        yield Family("workqueue_work_duration_seconds", "histogram", "How long work on a key took.", worked)

    return collect
