"""A list is what the watch had told up to the list's own revision, whoever asked for it and whenever."""

from __future__ import annotations

from collections.abc import Iterator

from wherry.testing.simulation import paths
from wherry.testing.simulation.call import Call
from wherry.testing.simulation.observer import WATCHED
from wherry.testing.simulation.outcome import Violation
from wherry.testing.simulation.story import Story

SELECTS = ("labelSelector", "fieldSelector", "limit")
State = dict[tuple[str, str], int]


def check(story: Story) -> Iterator[Violation]:
    """Every list of everything of a resource."""
    for gvr in WATCHED:
        path = gvr.path()
        lists = [call for call in story.calls if call.path == path and call.listed is not None and _whole(call)]
        lists.sort(key=lambda call: call.revision)
        state: State = {
            key[1:]: int(obj["metadata"]["resourceVersion"]) for key, obj in story.first.items() if key[0] == gvr
        }
        began = max(state.values(), default=0)
        changes = iter(story.of(gvr))
        change = next(changes, None)
        for call in lists:
            while change is not None and change.seen.revision <= call.revision:
                if change.seen.type == "DELETED":
                    state.pop(change.seen.key[1:], None)
                else:
                    state[change.seen.key[1:]] = change.seen.revision
                change = next(changes, None)
            if call.revision >= max(began, story.began) and call.listed != state:
                yield Violation("list", f"{call}: {_difference(call, state)}")


def _whole(call: Call) -> bool:
    return paths.parse(call.path) is not None and not any(call.query.get(key) for key in SELECTS)


def _difference(call: Call, state: State) -> str:
    listed = call.listed or {}
    for key in sorted({*listed, *state}):
        if listed.get(key) != state.get(key):
            return f"{'/'.join(key)} is {listed.get(key)} in the list, {state.get(key)} by the watch"
    return "nothing"
