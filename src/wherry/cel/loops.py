"""The closures of macros over lists and maps. Each round takes the body's weight from the budget, so that nested macros end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from wherry.cel.errors import CostExceeded, Failure, no_overload
from wherry.cel.frame import Frame, Run, spend
from wherry.cel.values import LISTS, Value, map_key, map_keys


class Parts(NamedTuple):
    """A macro, built: `slots` of its one or two names; `weight` of one round."""

    over: Run
    slots: tuple[int, ...]
    body: Run
    condition: Run | None
    weight: int


def _rounds(parts: Parts, frame: Frame) -> Iterable[Value]:
    """What the names get in each round: an element, a key, or a pair."""
    over = parts.over(frame)
    if type(over) is dict:
        keys = map_keys(over)
        return keys if len(parts.slots) == 1 else list(zip(keys, over.values(), strict=True))
    if type(over) in LISTS:
        return list(over) if len(parts.slots) == 1 else list(enumerate(over))
    raise no_overload()


def _steps(parts: Parts, frame: Frame) -> Iterable[Value]:
    """Sets the names for each round in turn, and counts it."""
    weight = parts.weight
    if len(parts.slots) == 1:
        slot = parts.slots[0]
        for element in _rounds(parts, frame):
            frame[0] -= weight
            if frame[0] < 0:
                raise CostExceeded
            frame[slot] = element
            yield element
        return
    (first, second) = parts.slots
    for pair in _rounds(parts, frame):
        spend(frame, weight)
        (frame[first], frame[second]) = pair
        yield pair


def quantifier(parts: Parts, deciding: bool) -> Run:
    """`all` is decided by a false, `exists` by a true; an error matters only if nothing decides."""
    (body, weight, slots) = (parts.body, parts.weight, parts.slots)
    slot = slots[0] if len(slots) == 1 else None

    def run(
        frame: Frame,
    ) -> Value:  # not over _steps: rules of this kind are most of all, and a generator costs as much as a body
        error: Failure | None = None
        for element in _rounds(parts, frame):
            frame[0] -= weight
            if frame[0] < 0:
                raise CostExceeded
            if slot is None:
                (frame[slots[0]], frame[slots[1]]) = element
            else:
                frame[slot] = element
            try:
                value = body(frame)
            except Failure as failure:
                error = failure
                continue
            if value is deciding:
                return deciding
            if type(value) is not bool:
                error = no_overload()
        if error is not None:
            raise error
        return not deciding

    return run


def exists_one(parts: Parts) -> Run:
    def run(frame: Frame) -> Value:
        count = 0
        for _ in _steps(parts, frame):
            count += truth(parts.body(frame))
        return count == 1

    return run


def truth(value: Value) -> bool:
    if type(value) is not bool:
        raise no_overload()
    return value


def filtered(parts: Parts) -> Run:
    def run(frame: Frame) -> Value:
        return [element for element in _steps(parts, frame) if truth(parts.body(frame))]

    return run


def mapped(parts: Parts) -> Run:
    (body, condition) = (parts.body, parts.condition)
    if condition is None:
        return lambda frame: [body(frame) for _ in _steps(parts, frame)]
    return lambda frame: [body(frame) for _ in _steps(parts, frame) if truth(condition(frame))]


def transformed(parts: Parts) -> Run:
    """`transformMap`: the keys stay, values become what the body gives."""
    (body, condition, key) = (parts.body, parts.condition, parts.slots[0])

    def run(frame: Frame) -> Value:
        made = {}
        for _ in _steps(parts, frame):
            if condition is None or truth(condition(frame)):
                made[map_key(frame[key])] = body(frame)
        return made

    return run


def entries(parts: Parts) -> Run:
    """`transformMapEntry`: the body gives a map, whose entries must be new."""
    (body, condition) = (parts.body, parts.condition)

    def run(frame: Frame) -> Value:
        made: dict[Value, Value] = {}
        for _ in _steps(parts, frame):
            if condition is None or truth(condition(frame)):
                more = body(frame)
                if type(more) is not dict:
                    raise no_overload()
                spend(frame, len(more))
                for key, value in more.items():
                    if key in made:
                        raise Failure(f"insert failed: key {key} already exists")
                    made[key] = value
        return made

    return run
