"""Priority and fairness: how many requests are worked on at a time, who waits, who is turned away.

Theory: PriorityLevelConfigurations share `SEATS` by their nominal shares; a request holds one seat of its level while it is
worked on. A level without a free seat borrows what others lend and do not use, else queues (shuffle sharding: a flow has a
few of the level's queues and takes the shortest; queues take turns) or rejects. A watch gives its seat back once it has
begun; logs, exec and proxies need none. Requests answered at once from memory (`fast.py`) never hold one.
Always true: what waits is bounded by queues x queueLengthLimit, how long by WAIT_SECONDS. Kubernetes moves seats between
levels every ten seconds, we at once; it counts wide lists as several seats, we do not.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import deque

from msgspec import Struct, field

from wherry.api.histogram import Histogram
from wherry.api.resources import FLOW_SCHEMAS, PRIORITY_LEVELS
from wherry.api.types import Obj
from wherry.apiserver import flow_matching
from wherry.apiserver.auth.user import User
from wherry.apiserver.filters.request_info import RequestInfo
from wherry.apiserver.http import Request
from wherry.apiserver.registry.strategy import Reader
from wherry.storage.interface import Storage

SEATS = 600
"""kube-apiserver's --max-requests-inflight and --max-mutating-requests-inflight together."""
WAIT_SECONDS = 15.0
"""A quarter of a request's time, as in Kubernetes."""
RETRY_AFTER_SECONDS = 1
REMEMBERED_MAX = 4096
WAIT_BUCKETS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
EXECUTION_BUCKETS = (*WAIT_BUCKETS, 60.0)
"""Seconds; Kubernetes' of its flow control."""
_PREFIXES = ("/registry/flowcontrol.apiserver.k8s.io/flowschemas/",
             "/registry/flowcontrol.apiserver.k8s.io/prioritylevelconfigurations/")  # fmt: skip


class TooMany(Exception):
    """Turned away; ask again later. `reason` is a label of a metric."""

    def __init__(self, reason: str) -> None:
        super().__init__("Too many requests, please try again later.")
        self.reason = reason


class Level(Struct):
    """One priority level at work. `seats` None: exempt."""

    name: str
    uid: str
    seats: int | None
    lends: int = 0
    borrows: int | None = None
    """At most so many more than its own; None: no bound."""
    queues: list[deque[asyncio.Future[None]]] = field(default_factory=list)
    hand: int = 0
    length: int = 0
    executing: int = 0
    waiting: int = 0
    turn: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    """By the name of the FlowSchema."""


class Tally(Struct):
    """What became of the requests of one FlowSchema at one level, for /metrics."""

    at_once: int = 0
    """Requests that did not wait for their seat."""
    executing: int = 0
    waiting: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    waited: Histogram = field(default_factory=lambda: Histogram(WAIT_BUCKETS))
    """Of those that waited and got a seat."""
    in_vain: Histogram = field(default_factory=lambda: Histogram(WAIT_BUCKETS))
    executed: Histogram = field(default_factory=lambda: Histogram(EXECUTION_BUCKETS))


class Flow(Struct, frozen=True):
    """What a kind of request was found to be. `queues`: those of the level it may wait in."""

    level: Level
    schema: str
    schema_uid: str
    queues: tuple[int, ...]
    tally: Tally


class Limits:
    """One per API server."""

    def __init__(self, reader: Reader, storage: Storage) -> None:
        self._reader = reader
        self._storage = storage
        self._made_of: tuple[int, int] = (-1, -1)
        self._schemas: list[Obj] = []
        self.levels: dict[str, Level] = {}
        self._known: dict[tuple[object, ...], Flow | None] = {}

    def flow_of(self, user: User, info: RequestInfo) -> Flow | None:
        """None: nobody set a limit."""
        made_of = (self._storage.changed_at(_PREFIXES[0]), self._storage.changed_at(_PREFIXES[1]))
        if made_of != self._made_of:
            self._read()
            self._made_of = made_of
        if not self._schemas:
            return None
        where = info.resource if info.is_resource else info.path
        key = (user.name, user.groups, info.verb, info.group, where, info.subresource, info.namespace)
        try:
            return self._known[key]
        except KeyError:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            found = self._known[key] = self._find(user, info)
            return found

    def _find(self, user: User, info: RequestInfo) -> Flow | None:
        for schema in self._schemas:
            # One stored before schemas were validated may name none.
            wanted = (schema.get("spec") or {}).get("priorityLevelConfiguration") or {}
            level = self.levels.get(wanted.get("name", ""))
            if level is not None and flow_matching.matches(schema, user, info):
                name, uid = schema["metadata"]["name"], schema["metadata"].get("uid", "")
                text = f"{name}\n{flow_matching.flow(schema, user, info)}"
                tally = level.tallies.setdefault(name, Tally())
                return Flow(level, name, uid, deal(text, len(level.queues), level.hand), tally)
        return None

    def _read(self) -> None:
        """Levels keep what is under way: a changed limit holds from the next request on."""
        self._schemas = flow_matching.ordered(self._reader.list(FLOW_SCHEMAS))
        self._known.clear()
        found = list(self._reader.list(PRIORITY_LEVELS))
        total = sum(_shares(each) for each in found) or 1
        before, self.levels = self.levels, {}
        names = {each["metadata"]["name"] for each in self._schemas}
        for each in found:
            made = level_of(each, total)
            old = before.get(made.name)
            if old is not None and len(old.queues) == len(made.queues):
                old.uid, old.seats, old.lends, old.borrows = made.uid, made.seats, made.lends, made.borrows
                old.hand, old.length = made.hand, made.length
                old.tallies = {name: tally for name, tally in old.tallies.items() if name in names}
                made = old
            self.levels[made.name] = made

    # -- seats

    async def enter(self, request: Request, user: User, info: RequestInfo) -> bool:
        """Give the request its flow and, perhaps after a while, a seat; whether it holds one. Raises TooMany."""
        flow = request.flow = self.flow_of(user, info)
        if flow is None or is_long_running(info):
            return False
        turn = self.take(flow)
        if turn is not None:
            request.elsewhere += await self.wait(flow, turn)
        return True

    def take(self, flow: Flow) -> asyncio.Future[None] | None:
        """A seat at once (None), or what to wait for. Raises TooMany."""
        level = flow.level
        if not level.waiting and self._is_free(level):
            level.executing += 1
            flow.tally.executing += 1
            flow.tally.at_once += 1
            return None
        if not flow.queues:
            raise self._refused(flow, "concurrency-limit")
        queue = min((level.queues[index] for index in flow.queues), key=len)
        if len(queue) >= level.length or not level.seats:
            raise self._refused(flow, "queue-full")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        level.waiting += 1
        flow.tally.waiting += 1
        return turn

    async def wait(self, flow: Flow, turn: asyncio.Future[None]) -> float:
        """Until it is this request's turn; it holds a seat then. How many seconds that took. Raises TooMany."""
        now = asyncio.get_running_loop().time
        started = now()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await turn
        except BaseException as error:
            flow.tally.in_vain.observe(now() - started)
            if turn.done() and not turn.cancelled():
                self._leave(flow.level)  # the seat came in the moment we went
            else:
                self._forget(flow.level, turn)
            if isinstance(error, TimeoutError):
                raise self._refused(flow, "time-out") from None
            raise
        finally:
            flow.tally.waiting -= 1
        waited = now() - started
        flow.tally.waited.observe(waited)
        flow.tally.executing += 1
        return waited

    def give(self, flow: Flow) -> None:
        """The request is over, or goes on without a seat: whoever is next may begin."""
        flow.tally.executing -= 1
        self._leave(flow.level)

    def _leave(self, left: Level) -> None:
        left.executing -= 1
        if left.waiting:
            self._next(left)
        elif left.seats is not None:
            for level in self.levels.values():
                if level.waiting and self._is_free(level):
                    self._next(level)
                    return

    def _next(self, level: Level) -> None:
        while level.waiting and self._is_free(level):
            queues = len(level.queues)
            for step in range(queues):
                queue = level.queues[(level.turn + step) % queues]
                if queue:
                    level.turn = (level.turn + step + 1) % queues
                    turn = queue.popleft()
                    break
            else:
                level.waiting = 0
                return
            level.waiting -= 1
            if not turn.done():
                level.executing += 1
                turn.set_result(None)
                return

    def _is_free(self, level: Level) -> bool:
        if level.seats is None or level.executing < level.seats:
            return True
        over = level.executing - level.seats
        if not level.seats or (level.borrows is not None and over >= level.borrows):
            return False
        others = [each for each in self.levels.values() if each.seats is not None]
        lent = sum(max(0, each.executing - (each.seats or 0)) for each in others)
        idle = sum(max(0, min(each.lends, (each.seats or 0) - each.executing)) for each in others if each is not level)
        return idle > lent

    def _forget(self, level: Level, turn: asyncio.Future[None]) -> None:
        for queue in level.queues:
            if turn in queue:
                queue.remove(turn)
                level.waiting -= 1
                return

    def _refused(self, flow: Flow, reason: str) -> TooMany:
        rejected = flow.tally.rejected
        rejected[reason] = rejected.get(reason, 0) + 1
        return TooMany(reason)


def _shares(obj: Obj) -> int:
    spec = obj.get("spec") or {}
    part = spec.get("limited") or spec.get("exempt") or {}
    return int(part.get("nominalConcurrencyShares") or 0)


def level_of(obj: Obj, total: int) -> Level:
    """A PriorityLevelConfiguration as it is at the start; `total` are all levels' shares."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    limited = spec.get("limited")
    if spec.get("type") == "Exempt" or limited is None:
        return Level(metadata["name"], metadata.get("uid", ""), None)
    seats = math.ceil(SEATS * _shares(obj) / total)
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    percent = limited.get("borrowingLimitPercent")
    return Level(
        metadata["name"],
        metadata.get("uid", ""),
        seats,
        round(seats * (limited.get("lendablePercent") or 0) / 100),
        None if percent is None else round(seats * percent / 100),
        [deque() for _ in range(min(queuing.get("queues", 0), REMEMBERED_MAX))],
        queuing.get("handSize", 0),
        queuing.get("queueLengthLimit", 0),
    )


def deal(text: str, deck: int, hand: int) -> tuple[int, ...]:
    """`hand` different numbers below `deck`, always the same for a text (shuffle sharding)."""
    value = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    left = list(range(deck)) if hand < deck else []
    if not left:
        return tuple(range(deck))
    dealt: list[int] = []
    for _ in range(hand):
        value, index = divmod(value, len(left))
        dealt.append(left.pop(index))
    return tuple(dealt)


def is_long_running(info: RequestInfo) -> bool:
    """Never holds a seat: it would for as long as somebody listens."""
    return info.subresource in ("attach", "exec", "log", "portforward", "proxy")
