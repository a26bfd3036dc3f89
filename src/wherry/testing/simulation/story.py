"""What happened in a simulation, in the order of revisions, as the API told it; and who asked for it, as an auditor knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wherry.api.types import GVR, Obj
from wherry.testing.simulation.call import Call
from wherry.testing.simulation.observer import Key, Seen
from wherry.testing.simulation.scenario import Fault

MOMENT_SECONDS = 1.0
AFTERMATH_SECONDS = 8.0
"""Back-offs of reflectors end at three seconds, of requests that failed a few times at as much."""


@dataclass(frozen=True, slots=True)
class Event:
    """`seen`, and the call that made it, if it was one of a component or a user."""

    seen: Seen
    call: Call | None

    @property
    def who(self) -> str:
        return self.call.who if self.call is not None else ""


class Story:
    """Events by revision; versions of every object that was watched."""

    def __init__(
        self,
        first: Mapping[Key, Obj],
        seen: Sequence[Seen],
        calls: Sequence[Call],
        authors: Mapping[int, Call],
        began: int,
        faults: Sequence[Fault],
    ) -> None:
        self.first = first
        """What was there when it began."""
        self.began = began
        """The revision from which on every event is known."""
        self._troubles = troubles(faults)
        self.calls = calls
        self.events = [Event(one, authors.get(one.revision)) for one in sorted(seen, key=lambda one: one.revision)]
        self.versions: dict[Key, list[Event]] = {}
        for event in self.events:
            self.versions.setdefault(event.seen.key, []).append(event)

    def of(self, gvr: GVR) -> Iterator[Event]:
        return (event for event in self.events if event.seen.key[0] == gvr)

    def known_since(self, at: float) -> float:
        """What happened before that second, every component knows at second `at`: without trouble after a moment, in
        trouble what happened before it began."""
        begins = [begin for begin, end in self._troubles if begin <= at <= end]
        return min(begins, default=at) - MOMENT_SECONDS


def troubles(faults: Sequence[Fault]) -> list[tuple[float, float]]:
    """Spans of time in which something is wrong, or its consequences are not over; none touches another."""
    spans: list[tuple[float, float]] = []
    for fault in sorted(faults, key=lambda one: one.at):
        begin, end = fault.at, fault.at + fault.seconds + AFTERMATH_SECONDS
        if spans and begin <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((begin, end))
    return spans


def about(key: Key) -> str:
    """`deployments.apps shop/web`."""
    return f"{key[0].qualified} {key[1]}/{key[2]}" if key[1] else f"{key[0].qualified} {key[2]}"
