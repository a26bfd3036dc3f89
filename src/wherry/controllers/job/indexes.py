"""Sets of completion indexes in the form a Job's status and policies write them: `0-2,4`. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from wherry.api.types import Obj

INDEX = "batch.kubernetes.io/job-completion-index"


def parse(text: str | None, completions: int) -> set[int]:
    """The set; indexes of `completions` and above, left over from a larger Job, are dropped."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            stop = int(last) if last.isdigit() else int(first)
            found.update(range(int(first), min(stop, completions - 1) + 1))
    return found


def text(indexes: Iterable[int]) -> str:
    """Intervals, shortest form: two neighbours are written `0,1`, three `0-2`."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(_run(first, last) for first, last in runs)


def _run(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


def index_of(pod: Obj) -> int | None:
    """The completion index the pod was made for."""
    value = (pod["metadata"].get("annotations") or {}).get(INDEX, "")
    return int(value) if value.isdigit() else None
