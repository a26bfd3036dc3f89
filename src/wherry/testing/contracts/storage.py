"""What every storage promises, as tests.

    class TestMemory(StorageContract):
        def new(self, folder, **options): return MemoryStorage(**options)

`options` is `window_changes`, how many changes the storage must be able to tell of; it may forget older ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wherry.api.types import Obj
from wherry.storage.errors import AlreadyExists, Closed, Compacted, Conflict, FutureRevision, NotFound, Overrun
from wherry.storage.interface import Change, Storage, Watch

PODS = "/registry/core/pods/"
SECRETS = "/registry/core/secrets/"
A = f"{PODS}shop/a"
B = f"{PODS}shop/b"


def obj(name: str, **fields: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"}, **fields}


async def take(watch: Watch, count: int) -> list[Change]:
    """The next `count` changes."""
    iterator = aiter(watch)
    async with asyncio.timeout(10):
        return [await anext(iterator) for _ in range(count)]


def names(storage: Storage, prefix: str, revision: int | None = None) -> list[str]:
    return [entry.key.removeprefix(prefix) for entry in storage.list(prefix, revision)]


class StorageContract:
    """Subclass with a name that begins with Test and define `new`."""

    def new(self, folder: Path, *, window_changes: int = 4096) -> Storage:
        """A storage with nothing in it, not started."""
        raise NotImplementedError

    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        made = self.new(tmp_path)
        await made.start()
        yield made
        await made.close()

    @pytest.fixture
    async def small(self, tmp_path: Path) -> AsyncIterator[Storage]:
        """Remembers eight changes."""
        made = self.new(tmp_path, window_changes=8)
        await made.start()
        yield made
        await made.close()

    # Reading and writing

    async def test_an_empty_storage_is_at_revision_zero(self, storage: Storage) -> None:
        assert (storage.revision, storage.compacted, storage.changed_at(PODS)) == (0, 0, 0)
        assert storage.get(A) is None
        assert list(storage.list(PODS)) == []
        assert list(storage.list(PODS, 0)) == []

    async def test_create_stores_the_object_with_its_revision(self, storage: Storage) -> None:
        given = obj("a")
        entry = await storage.create(A, given)
        assert (entry.revision, entry.create_revision) == (1, 1)
        assert entry.value == {**given, "metadata": {**given["metadata"], "resourceVersion": "1"}}
        assert msgspec.json.decode(entry.data) == entry.value
        assert storage.get(A) is entry
        assert storage.revision == 1
        assert "resourceVersion" not in given["metadata"], "the caller's object is its own"

    async def test_create_of_a_taken_key_is_refused(self, storage: Storage) -> None:
        first = await storage.create(A, obj("a"))
        with pytest.raises(AlreadyExists):
            await storage.create(A, obj("a", spec={}))
        assert storage.get(A) is first
        assert storage.revision == 1

    async def test_update_replaces_the_expected_revision_only(self, storage: Storage) -> None:
        first = await storage.create(A, obj("a"))
        second = await storage.update(A, obj("a", spec={"x": 1}), first.revision)
        assert (second.revision, second.create_revision) == (2, 1)
        assert second.value["metadata"]["resourceVersion"] == "2"
        with pytest.raises(Conflict):
            await storage.update(A, obj("a", spec={"x": 2}), first.revision)
        with pytest.raises(NotFound):
            await storage.update(B, obj("b"), 1)
        assert storage.get(A) is second
        assert storage.revision == 2

    async def test_delete_answers_with_the_last_state_at_its_own_revision(self, storage: Storage) -> None:
        first = await storage.create(A, obj("a", spec={"x": 1}))
        with pytest.raises(Conflict):
            await storage.delete(A, first.revision + 7)
        gone = await storage.delete(A, first.revision)
        assert (gone.revision, gone.create_revision) == (2, 1)
        assert gone.value["spec"] == {"x": 1}
        assert gone.value["metadata"]["resourceVersion"] == "2"
        assert storage.get(A) is None
        with pytest.raises(NotFound):
            await storage.delete(A, gone.revision)

    async def test_a_key_can_be_used_again_and_again(self, storage: Storage) -> None:
        for round_ in range(3):
            entry = await storage.create(A, obj("a"))
            assert entry.create_revision == entry.revision == 2 * round_ + 1
            await storage.delete(A, entry.revision)

    # Lists

    async def test_a_list_has_what_is_under_the_prefix_in_key_order(self, storage: Storage) -> None:
        for name in ("shop/b", "shop-2/a", "default/z", "shop/a"):
            await storage.create(PODS + name, obj(name))
        await storage.create(SECRETS + "shop/s", obj("s"))
        assert names(storage, PODS) == ["default/z", "shop-2/a", "shop/a", "shop/b"]
        assert names(storage, PODS + "shop/") == ["a", "b"]
        assert names(storage, PODS + "none/") == []
        assert names(storage, "/registry/core/") == [f"pods/{name}" for name in names(storage, PODS)] + [
            "secrets/shop/s"
        ]

    async def test_a_list_as_of_an_older_revision(self, storage: Storage) -> None:
        a = await storage.create(A, obj("a"))
        b = await storage.create(B, obj("b"))
        a2 = await storage.update(A, obj("a", spec={}), a.revision)
        await storage.delete(B, b.revision)
        await storage.create(SECRETS + "shop/s", obj("s"))
        expected = {0: [], 1: [a], 2: [a, b], 3: [a2, b], 4: [a2], 5: [a2]}
        for prefix in (PODS, PODS + "shop/"):
            assert {revision: list(storage.list(prefix, revision)) for revision in expected} == expected
        with pytest.raises(FutureRevision):
            storage.list(PODS, 6)

    async def test_changed_at_moves_with_the_prefix_only(self, storage: Storage) -> None:
        a = await storage.create(A, obj("a"))
        await storage.create(f"{PODS}other/a", obj("a"))
        await storage.create(SECRETS + "shop/s", obj("s"))
        assert [storage.changed_at(at) for at in (PODS, PODS + "shop/", PODS + "other/", SECRETS)] == [2, 1, 2, 3]
        await storage.delete(A, a.revision)
        assert [storage.changed_at(at) for at in (PODS, PODS + "shop/", PODS + "other/", SECRETS)] == [4, 4, 2, 3]

    # Watches

    async def test_a_watch_tells_every_change_in_order(self, storage: Storage) -> None:
        watch = storage.watch(PODS, 0)
        a = await storage.create(A, obj("a"))
        await storage.create(SECRETS + "shop/s", obj("s"))
        a2 = await storage.update(A, obj("a", spec={}), a.revision)
        gone = await storage.delete(A, a2.revision)
        assert await take(watch, 3) == [
            Change("ADDED", a, None),
            Change("MODIFIED", a2, a),
            Change("DELETED", gone, a2),
        ]

    async def test_a_watch_begins_after_its_revision(self, storage: Storage) -> None:
        entries = [await storage.create(f"{PODS}shop/{i}", obj(str(i))) for i in range(5)]
        for after in range(5):
            watch = storage.watch(PODS, after)
            assert [change.entry for change in await take(watch, 5 - after)] == entries[after:]
            watch.close()
        with pytest.raises(FutureRevision):
            storage.watch(PODS, 6)

    async def test_a_watch_of_a_namespace_sees_no_other(self, storage: Storage) -> None:
        watch = storage.watch(PODS + "shop/", 0)
        await storage.create(f"{PODS}shop-2/a", obj("a"))
        a = await storage.create(A, obj("a"))
        assert [change.entry for change in await take(watch, 1)] == [a]

    async def test_a_waiting_watch_is_woken(self, storage: Storage) -> None:
        watch = storage.watch(PODS, 0)
        waiting = asyncio.create_task(take(watch, 1))
        await asyncio.sleep(0)
        a = await storage.create(A, obj("a"))
        assert [change.entry for change in await waiting] == [a]
        assert storage.get(A) is a

    async def test_what_a_watch_tells_can_be_read(self, storage: Storage) -> None:
        watch = storage.watch(PODS, 0)
        writing = asyncio.gather(*(storage.create(f"{PODS}shop/{i}", obj(str(i))) for i in range(50)))
        iterator = aiter(watch)
        for _ in range(50):
            change = await anext(iterator)
            assert storage.get(change.entry.key) is change.entry
            assert storage.revision >= change.revision
        await writing

    async def test_closing_a_watch_ends_it(self, storage: Storage) -> None:
        watch = storage.watch(PODS, 0)

        async def read() -> list[Change]:
            return [change async for change in watch]

        reading = asyncio.create_task(read())
        await storage.create(A, obj("a"))
        await asyncio.sleep(0)
        watch.close()
        watch.close()
        async with asyncio.timeout(10):
            assert len(await reading) == 1

    async def test_closing_the_storage_ends_watches_and_refuses_writes(self, storage: Storage) -> None:
        watch = storage.watch(PODS, 0)

        async def read() -> list[Change]:
            return [change async for change in watch]

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        a = await storage.create(A, obj("a"))
        await asyncio.sleep(0)
        await storage.close()
        await storage.close()
        async with asyncio.timeout(10):
            await reading
        for write in (
            storage.create(B, obj("b")),
            storage.update(A, obj("a"), a.revision),
            storage.delete(A, a.revision),
        ):
            with pytest.raises(Closed):
                await write
        assert storage.get(A) is a

    async def test_close_finishes_what_was_accepted(self, storage: Storage) -> None:
        writes = [asyncio.create_task(storage.create(f"{PODS}shop/{i}", obj(str(i)))) for i in range(20)]
        await asyncio.sleep(0)
        await storage.close()
        assert {(await write).revision for write in writes} == set(range(1, 21))
        assert len(storage.list(PODS)) == 20

    # The bound

    async def test_a_reader_too_slow_is_told_so(self, small: Storage) -> None:
        slow, quick = small.watch(PODS, 0), small.watch(PODS, 0)
        for i in range(20):
            await small.create(f"{PODS}shop/{i}", obj(str(i)))
            assert [change.revision for change in await take(quick, 1)] == [i + 1]
        with pytest.raises(Overrun):
            await take(slow, 1)
        assert [change async for change in slow] == [], "and then it is over"

    async def test_the_window_keeps_as_many_changes_as_it_should(self, small: Storage) -> None:
        for i in range(20):
            await small.create(f"{PODS}shop/{i:02}", obj(str(i)))
        assert small.compacted <= 12
        assert len(small.list(PODS, small.compacted)) == small.compacted
        assert len(await take(small.watch(PODS, small.compacted), 8)) == 8
        with pytest.raises(Compacted):
            small.list(PODS, small.compacted - 1)
        with pytest.raises(Compacted):
            small.watch(PODS, small.compacted - 1)
        assert len(small.list(PODS)) == 20

    # Compaction

    async def test_compaction_forgets_history_and_no_object(self, storage: Storage) -> None:
        a = await storage.create(A, obj("a"))
        b = await storage.create(B, obj("b"))
        a2 = await storage.update(A, obj("a", spec={}), a.revision)
        await storage.delete(B, b.revision)
        await storage.compact(3)
        assert storage.compacted == 3
        assert list(storage.list(PODS, 3)) == [a2, b]
        assert list(storage.list(PODS)) == [a2]
        assert [change.type for change in await take(storage.watch(PODS, 3), 1)] == ["DELETED"]
        for read in (storage.list, storage.watch):
            with pytest.raises(Compacted):
                read(PODS, 2)
        await storage.compact(2)
        assert storage.compacted == 3, "what is forgotten stays forgotten"
        with pytest.raises(FutureRevision):
            await storage.compact(5)

    async def test_after_compaction_everything_goes_on(self, storage: Storage) -> None:
        a = await storage.create(A, obj("a"))
        await storage.delete(A, a.revision)
        await storage.compact(2)
        again = await storage.create(A, obj("a"))
        assert (again.revision, again.create_revision) == (3, 3)
        assert [change.entry for change in await take(storage.watch(PODS, 2), 1)] == [again]

    # At the same time

    async def test_of_many_creates_of_one_key_one_wins(self, storage: Storage) -> None:
        results = await asyncio.gather(*(storage.create(A, obj("a", n=n)) for n in range(10)), return_exceptions=True)
        winners = [result for result in results if not isinstance(result, BaseException)]
        assert winners == [storage.get(A)]
        assert sum(isinstance(result, AlreadyExists) for result in results) == 9

    async def test_of_many_updates_of_one_revision_one_wins(self, storage: Storage) -> None:
        await storage.create(A, obj("a"))
        results = await asyncio.gather(
            *(storage.update(A, obj("a", n=n), 1) for n in range(10)), storage.delete(A, 1), return_exceptions=True
        )
        assert sum(isinstance(result, (Conflict, NotFound)) for result in results) == 10
        assert storage.revision == 2

    async def test_one_conflict_does_not_spoil_its_neighbours(self, storage: Storage) -> None:
        await storage.create(A, obj("a"))
        results = await asyncio.gather(
            storage.create(B, obj("b")),
            storage.update(A, obj("a"), 99),
            storage.create(A, obj("a")),
            storage.create(f"{PODS}shop/c", obj("c")),
            return_exceptions=True,
        )
        assert [isinstance(result, Exception) for result in results] == [False, True, True, False]
        assert names(storage, PODS + "shop/") == ["a", "b", "c"]

    async def test_counting_together_loses_nothing(self, storage: Storage) -> None:
        await storage.create(A, obj("a", count=0))

        async def count_up() -> None:
            while True:
                entry = storage.get(A)
                assert entry is not None
                try:
                    await storage.update(A, {**entry.value, "count": entry.value["count"] + 1}, entry.revision)
                except Conflict:
                    continue
                return

        await asyncio.gather(*(count_up() for _ in range(12)))
        entry = storage.get(A)
        assert entry is not None
        assert entry.value["count"] == 12
        assert len(await take(storage.watch(PODS, 0), 13)) == 13

    async def test_revisions_rise_in_the_order_watchers_see(self, storage: Storage) -> None:
        watch = storage.watch(PODS, 0)
        entries = await asyncio.gather(*(storage.create(f"{PODS}shop/{i}", obj(str(i))) for i in range(100)))
        revisions = [change.revision for change in await take(watch, 100)]
        assert all(before < after for before, after in pairwise(revisions))
        assert sorted(revisions) == sorted(entry.revision for entry in entries)

    async def test_a_cancelled_writer_leaves_no_half_write(self, storage: Storage) -> None:
        writing = asyncio.create_task(storage.create(A, obj("a")))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        b = await storage.create(B, obj("b"))
        seen = [change.entry async for change in until(storage.watch(PODS, 0), b.revision)]
        assert seen == ([storage.get(A), b] if storage.get(A) else [b])


async def until(watch: Watch, revision: int) -> AsyncIterator[Change]:
    """Changes up to and with `revision`."""
    async for change in watch:
        yield change
        if change.revision >= revision:
            watch.close()
            return
