"""Does what definitions ask for: names them, serves them, stops serving them and clears up behind them.

Works from storage's own watch, so a definition is served within a write of being stored; first it is published, then its
condition says Established, so whoever reads that finds it served. After a start everything established is published before
anybody can ask (`load`). Not here: the rules (`definition_rules.py`), what a publication is (`publishing.py`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

from msgspec.structs import replace

from wherry.aio.clock import rfc3339
from wherry.api.errors import StatusError
from wherry.api.types import GVR, Obj
from wherry.apiserver.auth.user import MASTERS, User
from wherry.apiserver.core import Core
from wherry.apiserver.drafts import draft
from wherry.apiserver.extensions import naming
from wherry.apiserver.extensions.codec import Family
from wherry.apiserver.extensions.conversion import Converter, Renaming, Webhook
from wherry.apiserver.extensions.definition_reader import DefinitionReader
from wherry.apiserver.extensions.publishing import family, owner, publish, stored
from wherry.apiserver.registry.generic import Registry, Write, no_objection
from wherry.apiserver.registry.scopes import MAIN, SCOPES, Scope
from wherry.reconcile.controller import Controller
from wherry.reconcile.reconciler import Request, Result
from wherry.reconcile.workqueue import WorkQueue
from wherry.storage import errors as storage_errors
from wherry.storage.interface import Entry

log = logging.getLogger(__name__)
DEFINITIONS = GVR("apiextensions.k8s.io", "v1", "customresourcedefinitions")
OURSELVES = User("system:apiserver", (MASTERS,))
MANAGER = "kube-apiserver"
"""Who owns the status we write."""
LOOK_AGAIN_SECONDS, LOOK_AGAIN_SECONDS_MAX = 0.05, 5.0
"""Pauses while objects with finalizers keep a definition, and after failures; they double."""
DELETED_AT_ONCE = 64
"""Instances on their way out at a time: enough that storage commits them in groups."""


class Extensions:
    """One per server. `load` before it serves, `run` while it does. Keys of its queue are groups, in which names are shared."""

    def __init__(self, core: Core, rng: random.Random) -> None:
        self._core = core
        self._rng = rng
        if DEFINITIONS in core.served:
            core.served[DEFINITIONS] = replace(core.served[DEFINITIONS], normalise=DefinitionReader(core.scheme))
        self._families: dict[str, tuple[Any, Family]] = {}
        self._seen: dict[str, str] = {}
        """The resourceVersion at which there was nothing left to do for a definition. Only names that were refused may be
        had another time without a change of their own definition."""
        self._queue: WorkQueue[Request] = WorkQueue(
            "customresourcedefinition",
            core.clock,
            backoff_seconds_min=LOOK_AGAIN_SECONDS,
            backoff_seconds_max=LOOK_AGAIN_SECONDS_MAX,
        )

    @property
    def _registry(self) -> Registry | None:
        served = self._core.served.get(DEFINITIONS)
        return served.registry if served is not None else None

    def load(self) -> None:
        """Publish what is established in storage."""
        with self._core.serving.at_once():
            for definition in self._definitions():
                self._publish(definition)

    async def run(self) -> None:
        """Follow the definitions, until cancelled."""
        if self._registry is None:
            return  # a Kubernetes without apiextensions
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(self._registry.prefix))
            group.create_task(Controller("customresourcedefinition", self, self._queue).run())

    async def _follow(self, prefix: str) -> None:
        """Put the group of every definition that changes on the queue; all of them when changes were missed."""
        while True:
            watch = self._core.storage.watch(prefix, self._core.storage.revision)
            for definition in self._definitions():
                self._queue.add(Request("", definition["spec"]["group"]))
            try:
                async for change in watch:
                    self._queue.add(Request("", change.entry.value["spec"]["group"]))
            except storage_errors.Overrun:
                log.info("definitions changed faster than they could be followed; looking at all of them")
            else:
                return  # storage is closed
            finally:
                watch.close()

    def _definitions(self, group: str = "") -> list[Obj]:
        """All, or those of one group."""
        registry = self._registry
        found = [entry.value for entry in self._core.storage.list(registry.prefix)] if registry is not None else []
        return [each for each in found if each["spec"]["group"] == group] if group else found

    async def reconcile(self, request: Request) -> Result | None:
        """Everything there is to do in one group: `request.name`."""
        group = request.name
        definitions = {definition["metadata"]["name"]: definition for definition in self._definitions(group)}
        gone = {name for name, (_, shared) in self._families.items() if shared.group == group} - definitions.keys()
        for name in gone:
            self._withdraw(name)
        waiting = False
        for name in sorted(definitions):
            if self._seen.get(name) != definitions[name]["metadata"]["resourceVersion"]:
                waiting |= await self._settle(name, group)
        return Result(retry=True) if waiting else None

    async def _settle(self, name: str, group: str) -> bool:
        """One definition, as it is now; whether its objects have to go first."""
        definitions = self._definitions(group)  # again for each: names that one was given are taken for the next
        definition = next((each for each in definitions if each["metadata"]["name"] == name), None)
        if definition is None:
            return False
        if "deletionTimestamp" in definition["metadata"]:
            return await self._finish(definition)
        others = [each for each in definitions if each["metadata"]["name"] != name]
        status = naming.settle(definition, others, rfc3339(self._core.clock.time()))
        self._publish({**definition, "status": status})
        if status != definition.get("status"):
            definition = await self._write(definition, {"status": status}, SCOPES["status"])
        if naming.is_true(definition, "NamesAccepted"):
            self._seen[name] = definition["metadata"]["resourceVersion"]
        return False

    def _publish(self, definition: Obj) -> None:
        """Serve it as it is now; nothing happens where that is what is served already."""
        name = definition["metadata"]["name"]
        terminating = naming.is_true(definition, "Terminating")
        if not naming.is_true(definition, "Established"):
            self._withdraw(name)
            return
        key = (stored(definition), terminating)
        known = self._families.get(name)
        if known is not None and known[0] == key:
            return
        if known is not None and known[0][0] == key[0]:
            shared = known[1]  # whoever watches is to see the objects go
        else:
            shared = family(definition, self._converter(definition), self._core.storage)
        self._families[name] = (key, shared)
        self._core.serving.publish(owner(name), publish(shared, self._core.scheme, terminating))
        if known is not None and known[1] is not shared:
            known[1].close()

    def _withdraw(self, name: str) -> None:
        known = self._families.pop(name, None)
        self._seen.pop(name, None)
        if known is not None:
            self._core.serving.withdraw(owner(name))
            known[1].close()

    def _converter(self, definition: Obj) -> Converter:
        if (definition["spec"].get("conversion") or {}).get("strategy") == "Webhook":
            return Webhook(definition, self._core.outward, self._rng)
        return Renaming()

    # -- the end of a definition

    async def _finish(self, definition: Obj) -> bool:
        """Delete its objects, then let it go; whether some are still there."""
        name = definition["metadata"]["name"]
        finalizers = definition["metadata"].get("finalizers") or []
        if naming.FINALIZER not in finalizers:
            self._withdraw(name)
            return False
        self._publish(definition)
        left = await self._delete_instances(name)
        if left:
            reason, message = "InstanceDeletionInProgress", "CustomResource deletion is in progress"
            await self._terminating(definition, reason, message)
            return True
        definition = await self._terminating(definition, "InstanceDeletionCompleted", "removed all instances")
        kept = [each for each in finalizers if each != naming.FINALIZER]
        await self._write(definition, {"metadata": {**definition["metadata"], "finalizers": kept}}, MAIN)
        return False

    async def _terminating(self, definition: Obj, reason: str, message: str) -> Obj:
        now = rfc3339(self._core.clock.time())
        status = naming.with_condition(definition.get("status") or {}, "Terminating", "True", reason, message, now)
        if status == definition.get("status"):
            return definition
        return await self._write(definition, {"status": status}, SCOPES["status"])

    async def _delete_instances(self, name: str) -> int:
        """Ask all to go; how many are still there (they have finalizers)."""
        known = self._families.get(name)
        if known is None:
            return 0  # it never was served, so nobody could create any
        shared = known[1]
        version = next(iter(self._core.serving.published[owner(name)].served.values()), None)
        entries = self._core.storage.list(shared.prefix)
        if version is None or not entries:
            return len(entries)
        gate = asyncio.Semaphore(DELETED_AT_ONCE)
        registry = version.registry

        async def delete(entry: Entry) -> None:
            metadata = entry.value["metadata"]
            async with gate:
                try:
                    await registry.delete(metadata.get("namespace", ""), metadata["name"], {}, self._free_write())
                except StatusError as error:
                    if error.code != 404:
                        log.warning("%s %s cannot be deleted: %s", name, metadata["name"], error)

        async with asyncio.TaskGroup() as group:
            for entry in entries:
                if "deletionTimestamp" not in entry.value["metadata"]:
                    group.create_task(delete(entry))
        return len(self._core.storage.list(shared.prefix))

    # -- writing

    def _free_write(self) -> Write:
        """As the server itself: nobody is asked."""
        return Write(self._core.context(OURSELVES), no_objection)

    async def _write(self, definition: Obj, parts: Obj, scope: Scope) -> Obj:
        """Replace parts of the definition as it was looked at. Raises Conflict if somebody wrote it meanwhile."""
        registry = self._registry
        assert registry is not None
        metadata, name = definition["metadata"], definition["metadata"]["name"]

        def change(_: Obj) -> Obj:
            changed: Obj = draft({**definition, **parts})
            changed["metadata"]["resourceVersion"] = metadata["resourceVersion"]
            return changed

        try:
            write = self._free_write()
            part = "" if scope is MAIN else "status"
            write.owners = self._core.field_managers.by_update(self._core.served[DEFINITIONS], part, MANAGER)
            result = await registry.update("", name, change, write, scope)
        except StatusError as error:
            if error.code != 404:
                raise
            return definition
        return result.value
