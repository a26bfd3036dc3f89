"""The registry of one resource: everything about writing an object that is the same for every kind.

Rule 1: what comes out of here is durable, validated and shared; what goes in is a private draft.
Rule 2: kinds differ only through their `Strategy`, parts of an object only through a `Scope`.
An update is read-modify-write under the key's turn, so that writers of one object queue instead of failing; a conflict
is only reported to those who named a resourceVersion.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol, TypeAlias

from msgspec import Struct, field

from wherry.api.errors import (
    MODIFIED,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
)
from wherry.api.scheme import Resource
from wherry.api.types import Obj
from wherry.apiserver.apply.field_manager import KEEP, Owners, is_unchanged
from wherry.apiserver.patience import judged
from wherry.apiserver.registry import deletion, holding, object_meta
from wherry.apiserver.registry.scopes import MAIN, Scope
from wherry.apiserver.registry.strategy import Context, Strategy
from wherry.apiserver.registry.validation import field as rules
from wherry.storage import abandoned
from wherry.storage import errors as storage_errors
from wherry.storage.interface import Entry

GENERATE_NAME_ATTEMPTS = 8
"""Kubernetes tries a generated name this often before it says AlreadyExists."""
UPDATE_ATTEMPTS = 5
"""A write can still lose against one that did not queue here; after that many the caller is told."""

Admit: TypeAlias = Callable[[str, Obj | None, Obj | None], Awaitable[None]]
"""(operation CREATE|UPDATE|DELETE, the draft, the stored object): one phase of admission, which may raise."""


async def no_objection(operation: str, obj: Obj | None, old: Obj | None) -> None:
    """A phase of a write that nobody is asked about."""


class Write(Struct):
    """One request's way of writing: who, when, under which rules.

    `admit` may edit the draft and comes before the strategy; `validate` sees what will be stored and comes after it.
    `patient`: admission asks others, who may take their time or write the same object meanwhile: such a write takes no
    turn, and loses its race instead of holding up everybody. `owners` settles metadata.managedFields.
    """

    ctx: Context
    admit: Admit
    warnings: list[str] = field(default_factory=list)
    validate: Admit = no_objection
    patient: bool = False
    owners: Owners = KEEP


class Result(Struct, frozen=True):
    """The object as it now is; `data` its encoding unless this was a dry run."""

    value: Obj
    data: bytes | None = None
    created: bool = False
    removed: bool = False


class Store(Protocol):
    """What a registry needs of `storage.interface.Storage`."""

    def get(self, key: str) -> Entry | None: ...

    async def create(self, key: str, value: Obj) -> Entry: ...

    async def update(self, key: str, value: Obj, expected: int) -> Entry: ...

    async def delete(self, key: str, expected: int) -> Entry: ...


class Registry:
    """Objects of one resource in storage."""

    def __init__(self, resource: Resource, strategy: Strategy, storage: Store) -> None:
        self.resource = resource
        self.strategy = strategy
        self._storage = storage
        self._turns: dict[str, tuple[asyncio.Lock, list[None]]] = {}
        self.prefix = f"/registry/{resource.group or 'core'}/{resource.resource}/"

    # -- reading

    def key(self, namespace: str, name: str) -> str:
        return f"{self.prefix}{namespace if self.resource.namespaced else '-'}/{name}"

    def prefix_of(self, namespace: str) -> str:
        """The prefix of a namespace's objects, or of all."""
        return f"{self.prefix}{namespace}/" if namespace and self.resource.namespaced else self.prefix

    def find(self, namespace: str, name: str) -> Entry | None:
        return self._storage.get(self.key(namespace, name))

    def get(self, namespace: str, name: str) -> Entry:
        """Raises NotFound (404)."""
        entry = self._storage.get(self.key(namespace, name))
        if entry is None:
            raise self.missing(name)
        return entry

    def missing(self, name: str) -> StatusError:
        return not_found(self.strategy.said or self.resource.resource, name, self.resource.group)

    # -- create

    async def create(self, obj: Obj, write: Write) -> Result:
        """Store a new object. `obj` has its kind, apiVersion and (where namespaced) metadata.namespace."""
        metadata = obj["metadata"]
        if metadata.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        generated = not metadata.get("name") and bool(metadata.get("generateName"))
        self.strategy.default(obj)
        object_meta.wipe(metadata)
        write.owners.own(obj, None)
        await write.admit("CREATE", obj, None)
        metadata = obj["metadata"]
        object_meta.fill_new(metadata, write.ctx.clock, write.ctx.rng)
        undo = write.ctx.undo
        try:
            self.strategy.prepare_create(obj, write.ctx)
            causes = object_meta.validate(metadata, self.resource.namespaced, self.strategy.validate_name)
            self._check(obj, causes + await self._judged(lambda: self.strategy.check_new(obj, write.ctx)))
            await write.validate("CREATE", obj, None)
            write.warnings += self.strategy.warnings(obj, None)
            result = await self._insert(arranged(obj), write, GENERATE_NAME_ATTEMPTS if generated else 1)
        except BaseException as error:
            holding.take_back(write.ctx, error)
            raise
        finally:
            holding.give_back(write.ctx.ended)
        if write.ctx.dry_run:
            holding.give_back(undo)
        return result

    async def _insert(self, obj: Obj, write: Write, attempts: int) -> Result:
        metadata = obj["metadata"]
        for attempt in range(attempts):
            name = metadata["name"]
            key = self.key(metadata.get("namespace", ""), name)
            try:
                if not write.ctx.dry_run:
                    entry = await self._storage.create(key, obj)
                    return Result(entry.value, entry.data, created=True)
                if self._storage.get(key) is None:
                    return Result({**obj, "metadata": _without_version(metadata)}, created=True)
            except storage_errors.AlreadyExists:
                pass  # as in the dry run: another name, or the end
            if attempt == attempts - 1:
                raise already_exists(self.resource.resource, name, self.resource.group)
            metadata["name"] = object_meta.generate_name(metadata["generateName"], write.ctx.rng)
        raise AssertionError("the loop above returns or raises")

    # -- update

    async def update(
        self,
        namespace: str,
        name: str,
        change: Callable[[Obj], Obj],
        write: Write,
        scope: Scope = MAIN,
    ) -> Result:
        """Replace the stored object by what `change` makes of it: a private draft, whose metadata.resourceVersion, when
        not empty, must be the stored one (409)."""
        key = self.key(namespace, name)
        async with self._turn(key, write):
            for _ in range(UPDATE_ATTEMPTS):
                entry = self.get(namespace, name)
                obj = change(entry.value)
                try:
                    return await self._replace(entry, obj, write, scope)
                except storage_errors.Conflict:
                    continue
                except storage_errors.NotFound:
                    raise self.missing(name) from None
        raise self._modified(name)

    async def _replace(self, entry: Entry, obj: Obj, write: Write, scope: Scope) -> Result:
        old, metadata = entry.value, obj["metadata"]
        name = old["metadata"]["name"]
        self._check_versions(entry, metadata)
        self.strategy.default(obj)
        write.owners.own(obj, old)
        await write.admit("UPDATE", obj, old)
        metadata = obj["metadata"]
        object_meta.keep_on_update(metadata, old["metadata"])
        undo = write.ctx.undo
        try:
            scope.prepare(self.strategy, obj, old, write.ctx)
            metadata = obj["metadata"]
            causes = object_meta.validate_update(
                metadata, old["metadata"], self.resource.namespaced, self.strategy.validate_name
            )
            causes = object_meta.repeated(causes, self.strategy.checks_metadata_again)
            judge = partial(scope.validate, self.strategy, obj, old, write.ctx)
            self._check(obj, causes + await self._judged(judge))
            await write.validate("UPDATE", obj, old)
            metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
            if deletion.is_free(obj, self.strategy.held(obj)):
                return await self._remove(entry, obj, write)
            if is_unchanged(obj, old):
                holding.give_back(undo)
                return Result(old, entry.data)
            write.warnings += self.strategy.warnings(obj, old)
            if write.ctx.dry_run:
                holding.give_back(undo)
                return Result(arranged(obj))
            stored = await self._store(entry, arranged(obj), write)
        except BaseException as error:
            holding.take_back(write.ctx, error)
            raise
        finally:
            holding.give_back(write.ctx.ended)
        assert stored.value["metadata"]["name"] == name
        return Result(stored.value, stored.data)

    async def _store(self, entry: Entry, obj: Obj, write: Write) -> Entry:
        """The update itself, and what follows from it, also when nobody waits for it any more."""
        after = partial(self.strategy.after_update, obj, entry.value, write.ctx)
        try:
            stored = await self._storage.update(entry.key, obj, entry.revision)
        except asyncio.CancelledError as error:
            abandoned.when_known(error, lambda known: after() if known else None)
            raise
        after()
        return stored

    def _check_versions(self, entry: Entry, metadata: Obj) -> None:
        """The optimistic lock, and the UID that tells an object from its namesake."""
        name = entry.value["metadata"]["name"]
        uid, stored_uid = metadata.get("uid"), entry.value["metadata"].get("uid")
        if uid and uid != stored_uid:
            raise conflict(
                self.resource.resource,
                name,
                f"StorageError: invalid object, Code: 4, Key: {entry.key}, ResourceVersion: 0, AdditionalErrorMsg: "
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {stored_uid}",
                self.resource.group,
            )
        version = metadata.get("resourceVersion")
        if version:
            if version != str(entry.revision):
                raise self._modified(name)
        elif not self.strategy.allow_unconditional_update:
            cause = rules.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(self.resource.resource, self.resource.group, name, [cause])

    # -- delete

    async def delete(self, namespace: str, name: str, options: Obj, write: Write) -> Result:
        """Remove it, or mark it for removal. `options` is a valid DeleteOptions; `Result.removed` says which."""
        key = self.key(namespace, name)
        async with self._turn(key, write):
            for _ in range(UPDATE_ATTEMPTS):
                entry = self.get(namespace, name)
                try:
                    return await self._delete(entry, options, write)
                except storage_errors.Conflict:
                    continue
                except storage_errors.NotFound:
                    raise self.missing(name) from None
        raise self._modified(name)

    async def _delete(self, entry: Entry, options: Obj, write: Write) -> Result:
        obj = entry.value
        if why := self.strategy.kept_for_good(obj):
            raise forbidden(self.resource.resource, self.resource.group, obj["metadata"]["name"], why)
        self._check_preconditions(obj, options.get("preconditions") or {})
        await write.admit("DELETE", None, obj)
        await write.validate("DELETE", None, obj)
        strategy = self.strategy
        plan = deletion.plan(
            obj,
            options,
            strategy.graceful(obj, options),
            write.ctx.clock.time(),
            strategy.held(obj),
            strategy.default_orphan,
        )
        if plan.action == "keep":
            return Result(obj, entry.data)
        marked = {**obj, "metadata": plan.metadata}
        if plan.action == "remove":
            return await self._remove(entry, marked, write)
        if plan.first:
            strategy.prepare_delete(marked, write.ctx)
        if write.ctx.dry_run:
            return Result(marked)
        stored = await self._storage.update(entry.key, arranged(marked), entry.revision)
        return Result(stored.value, stored.data)

    async def _remove(self, entry: Entry, last: Obj, write: Write) -> Result:
        """Take it out of storage; the answer shows it as it would have been."""
        if not write.ctx.dry_run:
            after = partial(self.strategy.after_delete, entry.value, write.ctx)
            try:
                await self._storage.delete(entry.key, entry.revision)
            except asyncio.CancelledError as error:
                abandoned.when_known(error, lambda stored: after() if stored else None)
                raise
            after()
        return Result(last, removed=True)

    def _check_preconditions(self, obj: Obj, preconditions: Obj) -> None:
        metadata, kind = obj["metadata"], self.resource.kind
        uid, version = preconditions.get("uid"), preconditions.get("resourceVersion")
        if uid is not None and uid != metadata.get("uid"):
            raise conflict(
                kind,
                metadata["name"],
                f"the UID in the precondition ({uid}) does not match the UID in record ({metadata.get('uid')}). "
                "The object might have been deleted and then recreated",
                self.resource.group,
            )
        if version is not None and version != metadata["resourceVersion"]:
            raise conflict(
                kind,
                metadata["name"],
                f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
                f"({metadata['resourceVersion']}). The object might have been modified",
                self.resource.group,
            )

    # -- help

    def invalid(self, name: str, causes: list[Any]) -> StatusError:
        return invalid(self.resource.kind, self.resource.group, name, causes)

    async def _judged(self, judge: Callable[[], list[Any]]) -> list[Any]:
        return await judged(judge) if self.strategy.may_be_heavy else judge()

    def _check(self, obj: Obj, causes: list[Any]) -> None:
        if causes and self.strategy.any_finalizer:
            causes = [each for each in causes if not each.message.endswith(object_meta.UNQUALIFIED_FINALIZER)]
        if causes:
            raise self.invalid(obj["metadata"].get("name", ""), causes)

    def _modified(self, name: str) -> StatusError:
        return conflict(self.resource.resource, name, MODIFIED, self.resource.group)

    @asynccontextmanager
    async def _turn(self, key: str, write: Write) -> AsyncIterator[None]:
        """One reader-modifier-writer of a key at a time, in order of arrival; patient ones stand aside."""
        if write.patient:
            yield
            return
        lock, users = self._turns.setdefault(key, (asyncio.Lock(), []))
        users.append(None)
        try:
            async with lock:
                yield
        finally:
            users.pop()
            if not users:
                self._turns.pop(key, None)


_METADATA_ORDER = (
    "name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers",
)  # fmt: skip


def arranged(obj: Obj) -> Obj:
    """The object with kind, apiVersion and metadata first and metadata in Kubernetes' order, so that its encoding starts
    with the same bytes as every other of its kind (LIST cuts them off)."""
    metadata = {**obj["metadata"]}
    metadata.setdefault("resourceVersion", "")
    ordered = {key: metadata.pop(key) for key in _METADATA_ORDER if key in metadata}
    ordered.update(metadata)
    result = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": ordered}
    result.update(obj)
    result["metadata"] = ordered
    return result


def _without_version(metadata: Obj) -> Obj:
    return {key: value for key, value in metadata.items() if key != "resourceVersion"}
