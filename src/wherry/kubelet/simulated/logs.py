"""What the containers of a pod that only pretends have written: the annotation `simulation.wherry.dev/logs`.

Every attempt of a container writes the same again. `written` is pure; `stream` is what `kubectl logs` reads, and follows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from msgspec import Struct

from wherry.aio.clock import Clock, parse_rfc3339, rfc3339_micro
from wherry.api.types import Obj
from wherry.kubelet import pod_spec
from wherry.kubelet.simulated.script import PREFIX, Lines, Script, ScriptError
from wherry.kubelet.streaming.log_lines import Options, Printer

FOLLOW_SECONDS_MAX = 1.0
"""How long a follower may not notice that the container has ended: nothing tells him."""


class NoLogs(LookupError):
    """There is nothing to show; the text says why and what would help."""


class Attempt(Struct, frozen=True):
    """One run of a container, in Unix seconds; `end` None while it runs. `lines` are (seconds since its start, text)."""

    start: float
    end: float | None
    lines: Lines

    def until(self, now: float) -> list[tuple[float, str]]:
        """(Unix seconds, text) of what has been written by now."""
        end = now if self.end is None else self.end
        return [(self.start + moment, text) for moment, text in self.lines if self.start + moment <= end]

    def next_at(self, now: float) -> float | None:
        """When it writes again; None: it does not."""
        later = (self.start + moment for moment, _ in self.lines if self.start + moment > now)
        return next((moment for moment in later if self.end is None or moment <= self.end), None)


def attempt_of(pod: Obj, container: str, *, previous: bool = False) -> Attempt:
    """The newest attempt, or the one before it. Raises NoLogs."""
    lines = _script(pod)
    status = pod_spec.container_status(pod, container) or {}
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
    where = f'container "{container}" in pod "{pod_spec.name_of(pod)}"'
    if previous:
        if last is None:
            raise NoLogs(f"previous terminated {where} not found")
        return _ended(last, lines)
    if "running" in state:
        return Attempt(parse_rfc3339(state["running"]["startedAt"]), None, lines)
    ended = state.get("terminated") or last
    if ended is None:
        reason = (state.get("waiting") or {}).get("reason") or "ContainerCreating"
        raise NoLogs(f"{where} is waiting to start: {reason}")
    return _ended(ended, lines)


def _script(pod: Obj) -> Lines:
    try:
        said = Script.of(pod).logs
    except ScriptError as error:
        raise NoLogs(str(error)) from None
    if said is None:
        where = f"{pod_spec.namespace_of(pod)}/{pod_spec.name_of(pod)}"
        raise NoLogs(
            f"pod {where} runs on a simulated node, where no process writes anything: "
            f"the annotation {PREFIX}logs says what it writes"
        )
    return said


def _ended(terminated: Obj, lines: Lines) -> Attempt:
    return Attempt(parse_rfc3339(terminated["startedAt"]), parse_rfc3339(terminated["finishedAt"]), lines)


async def stream(
    pod_now: Callable[[], Obj | None], container: str, options: Options, previous: bool, clock: Clock
) -> AsyncGenerator[bytes, None]:
    """Pieces of output, as `options` want them; the first is empty and says that there is something. `pod_now()` is the pod
    as it is, None when it is gone. Raises NoLogs before that."""
    pod = pod_now()
    if pod is None:
        raise NoLogs("the pod is gone")
    attempt = attempt_of(pod, container, previous=previous)
    yield b""
    printer, now = Printer(options), clock.time()
    records = attempt.until(now)
    shown = len(records)
    wanted = [one for one in records if options.since is None or one[0] >= options.since]
    if options.tail_lines is not None:
        wanted = wanted[len(wanted) - min(options.tail_lines, len(wanted)) :]
    if text := _print(printer, wanted):
        yield text
    while options.follow and attempt.end is None and not printer.is_full:
        following = attempt.next_at(now)
        await clock.sleep(min(FOLLOW_SECONDS_MAX if following is None else following - now, FOLLOW_SECONDS_MAX))
        now, pod = clock.time(), pod_now()
        attempt = _again(attempt, pod, container, now)
        records = attempt.until(now)
        if text := _print(printer, records[shown:]):
            yield text
        shown = len(records)


def _again(attempt: Attempt, pod: Obj | None, container: str, now: float) -> Attempt:
    """The same attempt as it is now: it ended when its container shows another one, or its pod is gone."""
    status = pod_spec.container_status(pod, container) or {} if pod is not None else {}
    running = (status.get("state") or {}).get("running")
    if running and parse_rfc3339(running["startedAt"]) == attempt.start:
        return attempt
    ended = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated")
    return Attempt(attempt.start, parse_rfc3339(ended["finishedAt"]) if ended else now, attempt.lines)


def _print(printer: Printer, records: list[tuple[float, str]]) -> bytes:
    lines = (f"{rfc3339_micro(moment)} stdout F {text}".encode() for moment, text in records)
    return b"".join(printer.print(line) for line in lines)
