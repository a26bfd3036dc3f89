"""Random histories against a model that is too simple to be wrong: a dict, and the list of everything that happened."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from wherry.storage.errors import AlreadyExists, Compacted, Conflict, NotFound
from wherry.storage.interface import Change, Storage
from wherry.storage.memory import MemoryStorage
from wherry.storage.sqlite import SqliteStorage

WINDOW = 6
PREFIXES = ["/registry/core/pods/", "/registry/core/pods/a/", "/registry/core/pods/a-b/", "/registry/apps/deployments/"]
KEYS = [f"{prefix}{name}" for prefix in PREFIXES[1:3] for name in "xy"] + [
    "/registry/apps/deployments/a/x",
    "/registry/apps/deployments/b/x",
]
keys = st.sampled_from(KEYS)


class StorageMachine(RuleBasedStateMachine):
    """`self.log` holds (type, key, number, revision); the state at any revision follows from it."""

    persistent = False

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.log: list[tuple[str, str, int, int]] = []
        self.forgotten = 0
        self.number = 0

    def new(self) -> Storage:
        return MemoryStorage(window_changes=WINDOW)

    @initialize()
    def start(self) -> None:
        self.storage = self.new()
        self.run(self.storage.start())

    def run(self, call: Any) -> Any:
        return self.runner.run(call)

    def state(self, revision: int) -> dict[str, tuple[int, int]]:
        """key -> (number, revision) as of `revision`."""
        state: dict[str, tuple[int, int]] = {}
        for type_, key, number, at in self.log:
            if at > revision:
                break
            if type_ == "DELETED":
                del state[key]
            else:
                state[key] = (number, at)
        return state

    def note(self, type_: str, key: str, revision: int, *, number: int | None = None) -> None:
        assert revision == self.storage.revision
        assert not self.log or revision > self.log[-1][3]
        self.log.append((type_, key, self.number if number is None else number, revision))

    @rule(key=keys)
    def create(self, key: str) -> None:
        self.number += 1
        value = {"metadata": {"name": key}, "number": self.number}
        if key in self.state(self.storage.revision):
            with pytest.raises(AlreadyExists):
                self.run(self.storage.create(key, value))
        else:
            self.note("ADDED", key, self.run(self.storage.create(key, value)).revision)

    @rule(key=keys, stale=st.booleans())
    def update(self, key: str, stale: bool) -> None:
        self.number += 1
        value = {"metadata": {"name": key}, "number": self.number}
        found = self.state(self.storage.revision).get(key)
        expected = found[1] - stale if found else 1
        if found is None or stale:
            with pytest.raises(Conflict if found else NotFound):
                self.run(self.storage.update(key, value, expected))
        else:
            self.note("MODIFIED", key, self.run(self.storage.update(key, value, expected)).revision)

    @rule(key=keys, stale=st.booleans())
    def delete(self, key: str, stale: bool) -> None:
        found = self.state(self.storage.revision).get(key)
        expected = found[1] - stale if found else 1
        if found is None or stale:
            with pytest.raises(Conflict if found else NotFound):
                self.run(self.storage.delete(key, expected))
        else:
            self.note("DELETED", key, self.run(self.storage.delete(key, expected)).revision, number=found[0])

    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        revision = data.draw(st.integers(0, self.storage.revision))
        self.run(self.storage.compact(revision))
        self.forgotten = max(self.forgotten, revision)

    @precondition(lambda self: self.persistent)
    @rule()
    def reopen(self) -> None:
        self.run(self.storage.close())
        self.storage = self.new()
        self.run(self.storage.start())

    @rule(data=st.data(), prefix=st.sampled_from(PREFIXES))
    def watch(self, data: st.DataObject, prefix: str) -> None:
        after = data.draw(st.integers(0, self.storage.revision))
        if after < self.storage.compacted:
            with pytest.raises(Compacted):
                self.storage.watch(prefix, after)
            return
        expected = [row for row in self.log if row[3] > after and row[1].startswith(prefix)]
        assert [told(change) for change in self.run(self.read(prefix, after, len(expected)))] == expected

    async def read(self, prefix: str, after: int, count: int) -> list[Change]:
        watch = self.storage.watch(prefix, after)
        changes = [await anext(aiter(watch)) for _ in range(count)]
        more = asyncio.ensure_future(anext(aiter(watch)))
        await asyncio.sleep(0)
        assert not more.done(), "no more than happened"
        watch.close()
        await asyncio.gather(more, return_exceptions=True)
        return changes

    @invariant()
    def every_known_revision_reads_as_it_was(self) -> None:
        if not hasattr(self, "storage"):
            return
        last = self.log[-1][3] if self.log else 0
        assert self.storage.revision == last
        assert self.storage.compacted <= max(self.forgotten, self.log[-WINDOW - 1][3] if len(self.log) > WINDOW else 0)
        for prefix in PREFIXES:
            for revision in range(self.storage.compacted, last + 1):
                expected = {key: value for key, value in self.state(revision).items() if key.startswith(prefix)}
                entries = self.storage.list(prefix, revision)
                assert [entry.key for entry in entries] == sorted(expected)
                assert {entry.key: (entry.value["number"], entry.revision) for entry in entries} == expected
        for key in KEYS:
            entry = self.storage.get(key)
            assert (entry and (entry.value["number"], entry.revision)) == self.state(last).get(key)

    def teardown(self) -> None:
        if hasattr(self, "storage"):
            self.run(self.storage.close())
        self.runner.close()
        self.folder.cleanup()


def told(change: Change) -> tuple[str, str, int, int]:
    assert (change.previous is None) == (change.type == "ADDED")
    return (change.type, change.entry.key, change.entry.value["number"], change.revision)


class SqliteMachine(StorageMachine):
    persistent = True

    def new(self) -> Storage:
        path = Path(self.folder.name) / "storage.db"
        return SqliteStorage(path, inline=True, window_changes=WINDOW, compact_every_revisions=4)


quick = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMemoryModel = StorageMachine.TestCase
TestMemoryModel.settings = quick
TestSqliteModel = SqliteMachine.TestCase
TestSqliteModel.settings = quick
