"""/metrics: how many requests there were and how long they took, in Prometheus' text format."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from wherry.storage.interface import Storage

BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)
"""Upper bounds in seconds: a cached GET falls into the first, a slow client into the last."""
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"


class Metrics:
    """Counters by (verb, group, version, resource, subresource, code) and durations by all but the code. The sets are
    small: they come from the catalogue, unknown names are counted under ""."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._requests: dict[tuple[str, str, str, str, str, int], int] = {}
        self._durations: dict[tuple[str, str, str], tuple[list[int], list[float]]] = {}
        self.long_running = 0

    def count(
        self, verb: str, group: str, version: str, resource: str, subresource: str, code: int, took: float
    ) -> None:
        """One finished request; `took` in seconds."""
        key = (verb, group, version, resource, subresource, code)
        self._requests[key] = self._requests.get(key, 0) + 1
        known = self._durations.get((verb, group, resource))
        if known is None:
            known = self._durations[(verb, group, resource)] = ([0] * (len(BUCKETS) + 1), [0.0])
        known[0][bisect_left(BUCKETS, took)] += 1
        known[1][0] += took

    def text(self) -> bytes:
        lines = [
            "# HELP apiserver_request_total Requests by verb, resource and HTTP code.",
            "# TYPE apiserver_request_total counter",
        ]
        for (verb, group, version, resource, sub, code), count in sorted(self._requests.items()):
            lines.append(
                f'apiserver_request_total{{code="{code}",group="{group}",resource="{resource}",'
                f'subresource="{sub}",verb="{verb.upper()}",version="{version}"}} {count}'
            )
        lines += [
            "# HELP apiserver_request_duration_seconds Time from request to answer.",
            "# TYPE apiserver_request_duration_seconds histogram",
        ]
        for (verb, group, resource), (counts, total) in sorted(self._durations.items()):
            labels = f'group="{group}",resource="{resource}",verb="{verb.upper()}"'
            name = "apiserver_request_duration_seconds"
            sums = list(accumulate(counts))
            lines += [f'{name}_bucket{{{labels},le="{bound}"}} {sums[i]}' for i, bound in enumerate(BUCKETS)]
            lines.append(f'{name}_bucket{{{labels},le="+Inf"}} {sums[-1]}')
            lines.append(f"{name}_sum{{{labels}}} {total[0]:.6f}")
            lines.append(f"{name}_count{{{labels}}} {sums[-1]}")
        lines += [
            "# HELP apiserver_longrunning_requests Watches, logs and upgrades under way.",
            "# TYPE apiserver_longrunning_requests gauge",
            f"apiserver_longrunning_requests {self.long_running}",
            "# HELP apiserver_storage_revision The newest durable revision.",
            "# TYPE apiserver_storage_revision gauge",
            f"apiserver_storage_revision {self._storage.revision}",
        ]
        return ("\n".join(lines) + "\n").encode()
