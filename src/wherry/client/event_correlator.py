"""Which Events are worth writing, and how: pure, after the rules client-go documents for its EventCorrelator.

1. Spam filter: an object may cause 25 Events at once and one more every five minutes per source; the rest is dropped.
2. Similar ones: after 10 Events within ten minutes that differ in nothing but their message, the message becomes
   "(combined from similar events): ..." and they count as one.
3. Equal ones: the Event that exists is counted up (count, lastTimestamp, message) instead of writing another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from msgspec import Struct, field

from wherry.api.types import Obj

SPAM_BURST = 25
SPAM_SECONDS_PER_EVENT = 300.0
SIMILAR_EVENTS_MAX = 10
SIMILAR_SECONDS = 600.0
# What is forgotten costs at most a second Event object where one would have been counted up.
REMEMBERED = 4096

State = TypeVar("State")


class Occurrence(Struct, frozen=True):
    """Something that happened once. `involved` and `related` are core/v1 ObjectReferences, `time` in Unix seconds."""

    involved: Obj
    type: str
    reason: str
    message: str
    time: float
    action: str = ""
    related: Obj | None = None

    @property
    def similarity(self) -> tuple[Hashable, ...]:
        return (*self.object_key, self.type, self.reason)

    @property
    def object_key(self) -> tuple[Hashable, ...]:
        return tuple(
            self.involved.get(part) for part in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")
        )


class Written(Struct):
    """An Event in the API. `name` is "" until it has been created."""

    name: str = ""
    first_time: float = 0.0
    count: int = 0


class _Bucket(Struct):
    tokens: float
    filled_at: float


class _Similar(Struct):
    last_time: float
    messages: dict[str, None] = field(default_factory=dict)


class _Recent(Generic[State]):
    """A bounded dict that forgets what was not used for longest."""

    def __init__(self, make: Callable[[], State]) -> None:
        self._make = make
        self._states: OrderedDict[Hashable, State] = OrderedDict()

    def get(self, key: Hashable) -> State:
        state = self._states.pop(key, None)
        if state is None:
            state = self._make()
        self._states[key] = state
        if len(self._states) > REMEMBERED:
            self._states.popitem(last=False)
        return state


class EventCorrelator:
    """Remembers what one source has said."""

    def __init__(self) -> None:
        self._spam: _Recent[_Bucket] = _Recent(lambda: _Bucket(SPAM_BURST, float("-inf")))
        self._similar: _Recent[_Similar] = _Recent(lambda: _Similar(float("-inf")))
        self._written: _Recent[Written] = _Recent(Written)

    def correlate(self, occurrence: Occurrence) -> tuple[Written, str] | None:
        """The Event this one belongs to, already counted, and the message to write; None to drop it."""
        if not self._allowed(occurrence):
            return None
        key, message = self._combine(occurrence)
        written = self._written.get(key)
        written.count += 1
        if written.count == 1:
            written.first_time = occurrence.time
        return written, message

    def _allowed(self, occurrence: Occurrence) -> bool:
        bucket = self._spam.get(occurrence.object_key)
        elapsed = max(occurrence.time - bucket.filled_at, 0.0)
        bucket.tokens = min(bucket.tokens + elapsed / SPAM_SECONDS_PER_EVENT, SPAM_BURST)
        bucket.filled_at = occurrence.time
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _combine(self, occurrence: Occurrence) -> tuple[tuple[Hashable, ...], str]:
        similar = self._similar.get(occurrence.similarity)
        if occurrence.time - similar.last_time > SIMILAR_SECONDS:
            similar.messages.clear()
        similar.last_time = occurrence.time
        similar.messages[occurrence.message] = None
        if len(similar.messages) < SIMILAR_EVENTS_MAX:
            return (*occurrence.similarity, occurrence.message), occurrence.message
        del similar.messages[next(iter(similar.messages))]  # nine others suffice to know that there are many
        return occurrence.similarity, f"(combined from similar events): {occurrence.message}"
