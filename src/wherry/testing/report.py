"""What a failed test's report says of its cluster: objects that are not as they should be, events, last lines of logs.

Bounded: a report is read by people.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import wherry
from wherry.api.errors import StatusError
from wherry.api.types import Obj
from wherry.testing.cluster import Cluster
from wherry.testing.kinds import UnknownKind
from wherry.testing.reach import KubectlFailed
from wherry.testing.verbs import written

if TYPE_CHECKING:
    import pytest

OBJECTS_MAX = 30
EVENTS_MAX = 40
LOG_LINES_MAX = 10
PODS_MAX = 5
OURS = (Path(wherry.__file__).parent, Path(futures.__file__).parent)
ANSWERS = (StatusError, UnknownKind, TimeoutError)
"""What says all there is to say where the test asked; by which way through us it came there helps nobody."""
_WORKLOADS = ("deployments", "statefulsets", "daemonsets", "jobs", "cronjobs", "horizontalpodautoscalers", "nodes")


def without_us(raised: pytest.ExceptionInfo[BaseException]) -> pytest.ExceptionInfo[BaseException]:
    """Without what happened inside of Wherry, where that only brought an answer."""
    if not isinstance(raised.value, ANSWERS):
        return raised
    outside: list[TracebackType] = []
    step: TracebackType | None = raised.tb
    while step is not None:
        if not any(each in Path(step.tb_frame.f_code.co_filename).parents for each in OURS):
            outside.append(step)
        step = step.tb_next
    chain: TracebackType | None = None
    for each in reversed(outside):
        chain = TracebackType(chain, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return raised if chain is None else raised.from_exc_info((raised.type, raised.value, chain))


def sections(cluster: Cluster) -> list[tuple[str, str]]:
    """(title, text), the empty ones left out."""
    parts: list[tuple[str, Callable[[Cluster], list[str]]]] = [
        ("objects", _objects),
        ("events", _events),
        ("logs", _logs),
    ]
    found = []
    for title, lines in parts:
        try:
            text = "\n".join(lines(cluster))
        except Exception as error:  # noqa: BLE001  # the test's own failure is what matters
            text = f"not to be had: {error}"
        if text:
            found.append((f"wherry: {title}", text))
    return found


def _objects(cluster: Cluster) -> list[str]:
    pods = [_pod(one) for one in cluster.list("pods", "*")]
    others = [f"{_name(one)}: {_status(one)}" for kind in _WORKLOADS for one in cluster.list(kind, "*")]
    lines = [*others, *pods]
    return [*lines[:OBJECTS_MAX], *([f"... and {len(lines) - OBJECTS_MAX} more"] if len(lines) > OBJECTS_MAX else [])]


def _events(cluster: Cluster) -> list[str]:
    found = sorted(cluster.list("events", "*"), key=written)
    lines = []
    for one in found[-EVENTS_MAX:]:
        about, series = one["involvedObject"], one.get("series") or {}
        count = one.get("count") or series.get("count") or 1
        times = f" (x{count})" if count > 1 else ""
        when = one.get("lastTimestamp") or series.get("lastObservedTime") or one.get("eventTime") or ""
        who = f"{about.get('kind', '').lower()}/{about.get('name', '')}"
        lines.append(
            f"{when[:19]}Z {one.get('type', '')} {one.get('reason', '')} {who}: {one.get('message', '')}{times}"
        )
    return lines


def _logs(cluster: Cluster) -> list[str]:
    """Of pods that are not well; of all if none is unwell."""
    pods = cluster.list("pods", "*")
    unwell = [one for one in pods if not _is_well(one)] or pods
    lines = []
    for one in unwell[:PODS_MAX]:
        metadata = one["metadata"]
        with suppress(LookupError, OSError, RuntimeError, StatusError, KubectlFailed):  # one that never ran has none
            text = cluster.logs(metadata["name"], metadata["namespace"])
            lines += [f"{_name(one)}: {line}" for line in text.splitlines()[-LOG_LINES_MAX:]]
    return lines


def _is_well(pod: Obj) -> bool:
    status = pod.get("status") or {}
    ready = all(one.get("ready") for one in status.get("containerStatuses") or ())
    return status.get("phase") == "Succeeded" or (status.get("phase") == "Running" and ready)


def _pod(pod: Obj) -> str:
    status = pod.get("status") or {}
    restarts = sum(one.get("restartCount", 0) for one in status.get("containerStatuses") or ())
    why = [
        f"{one['type']}: {one.get('message') or one.get('reason') or one['status']}"
        for one in status.get("conditions") or ()
        if one["status"] != "True" and one.get("reason")
    ]
    states = [
        f"{one['name']}: {key} {value.get('reason', '')}".strip()
        for one in status.get("containerStatuses") or ()
        for key, value in (one.get("state") or {}).items()
    ]
    more = f", {restarts} restarts" if restarts else ""
    return f"{_name(pod)}: {status.get('phase', 'Unknown')}{more}; " + "; ".join([*states, *why])


def _status(obj: Obj) -> str:
    """Numbers and conditions, without times."""
    status = obj.get("status") or {}
    words = [f"{key}={value}" for key, value in status.items() if isinstance(value, int | str)]
    words += [f"{one['type']}={one['status']}" for one in status.get("conditions") or ()]
    return " ".join(words) or "no status"


def _name(obj: Obj) -> str:
    metadata = obj["metadata"]
    where = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{obj['kind'].lower()} {where}{metadata['name']}"
