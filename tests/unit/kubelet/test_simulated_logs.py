"""What `kubectl logs` shows of a pod that only pretends."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.aio.clock import LoopClock, rfc3339
from wherry.aio.virtual import run_virtual
from wherry.api.types import Obj
from wherry.kubelet.simulated.logs import NoLogs, stream
from wherry.kubelet.streaming.log_lines import Options

SCRIPT = "starting\n@5s ready\n@1h late"


def a_pod(script: str | None, state: Obj, last: Obj | None = None) -> Obj:
    annotations = {} if script is None else {"simulation.wherry.dev/logs": script}
    status = {"containerStatuses": [{"name": "main", "state": state, "lastState": last or {}}]}
    metadata = {"name": "p", "namespace": "d", "uid": "u", "annotations": annotations}
    return {"metadata": metadata, "spec": {"containers": [{"name": "main"}]}, "status": status}


def running(ago: float) -> Obj:
    return {"running": {"startedAt": rfc3339(LoopClock().time() - ago)}}


def ended(start: float, end: float) -> Obj:
    now = LoopClock().time()
    return {"terminated": {"startedAt": rfc3339(now - start), "finishedAt": rfc3339(now - end)}}


def shown(pod_of: Any, *, previous: bool = False, **options: Any) -> list[str]:
    """The pieces, as text; `pod_of()` is asked within virtual time."""

    async def main() -> list[str]:
        clock = LoopClock()
        started = pod_of()
        pieces = stream(lambda: started, "main", Options(**options), previous, clock)
        return [piece.decode() async for piece in pieces]

    return run_virtual(main())


@pytest.mark.parametrize(("state", "options", "text"), [
    (lambda: running(2), {}, "starting\n"),
    (lambda: running(10), {}, "starting\nready\n"),
    (lambda: ended(20, 17), {}, "starting\n"),
    (lambda: running(10), {"tail_lines": 1}, "ready\n"),
    (lambda: running(10), {"tail_lines": 0}, ""),
    (lambda: running(10), {"limit_bytes": 4}, "star"),
    (lambda: running(10), {"stream": "stderr"}, ""),
])  # fmt: skip
def test_what_has_been_written_by_now(state: Any, options: dict[str, Any], text: str) -> None:
    first, *rest = shown(lambda: a_pod(SCRIPT, state()), **options)
    assert first == ""
    assert "".join(rest) == text


def test_times_and_since() -> None:
    async def main() -> None:
        clock = LoopClock()
        pod = a_pod(SCRIPT, running(10))
        options = Options(timestamps=True, since=clock.time() - 7)
        pieces = [piece async for piece in stream(lambda: pod, "main", options, False, clock)]
        stamp = rfc3339(clock.time() - 5).removesuffix("Z")
        assert b"".join(pieces).decode() == f"{stamp}.000000Z ready\n"

    run_virtual(main())


def test_the_attempt_before() -> None:
    pod = lambda: a_pod(SCRIPT, running(1), ended(30, 20))  # noqa: E731
    assert "".join(shown(pod, previous=True)) == "starting\nready\n"
    assert "".join(shown(pod)) == "starting\n"


def test_who_follows_sees_lines_when_they_are_written_and_the_end() -> None:
    async def main() -> None:
        clock = LoopClock()
        begin = clock.time()
        pod = a_pod("starting\n@5s ready\n@10s never", running(0))

        def now() -> Obj:
            if clock.time() - begin < 7:
                return pod
            return a_pod("starting", {"terminated": {"startedAt": rfc3339(begin), "finishedAt": rfc3339(begin + 7)}})

        pieces = stream(now, "main", Options(follow=True), False, clock)
        seen = [(round(clock.time() - begin), piece.decode()) async for piece in pieces]
        assert seen == [(0, ""), (0, "starting\n"), (5, "ready\n")]
        assert 7 <= clock.time() - begin <= 8.1

    run_virtual(main())


@pytest.mark.parametrize(("pod", "previous", "text"), [
    (lambda: a_pod(None, running(1)), False, "the annotation simulation.wherry.dev/logs says what it writes"),
    (lambda: a_pod(SCRIPT, {"waiting": {"reason": "ContainerCreating"}}), False,
     'container "main" in pod "p" is waiting to start: ContainerCreating'),
    (lambda: a_pod(SCRIPT, running(1)), True, 'previous terminated container "main" in pod "p" not found'),
    (lambda: a_pod("@5s b\n@1s a", running(1)), False, "the lines must be in order of time"),
    (lambda: None, False, "the pod is gone"),
])  # fmt: skip
def test_where_there_is_nothing_it_is_said(pod: Any, previous: bool, text: str) -> None:
    with pytest.raises(NoLogs) as refused:
        shown(pod, previous=previous)
    assert text in str(refused.value)
