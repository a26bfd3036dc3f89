"""What differs between kinds: the hooks `registry.generic` calls around every write.

One stateless `Strategy` per resource, shared by all requests. The base class is right for a kind nobody wrote a strategy
for. Order of a create: default -> admission, first phase -> name, uid, creationTimestamp -> prepare_create -> validate ->
admission, second phase -> storage; of an update: default -> admission, first phase -> metadata kept -> prepare_update ->
validate + validate_update -> admission, second phase -> storage.
Hooks never wait: what they need to know of other objects they read from `Context.read`, which is memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol

from msgspec import Struct, field

from wherry.aio.clock import Clock
from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.scheme import Resource
from wherry.api.types import GVR, Obj
from wherry.apiserver.auth.user import User


class Reader(Protocol):
    """Other objects as storage has them now; answers are shared and must not be changed."""

    def get(self, gvr: GVR, name: str, namespace: str | None = None) -> Obj | None: ...

    def list(self, gvr: GVR, namespace: str | None = None) -> Iterable[Obj]: ...


class Allocator(Protocol):
    """Hands out unique values of a bounded range (cluster IPs, node ports)."""

    def allocate(self, wanted: str = "") -> str:
        """`wanted` itself or, when empty, any free value. Raises ValueError with Kubernetes' words."""
        ...

    def release(self, value: str) -> None:
        """Make it free again; a value not held is fine."""
        ...


class Context(Struct):
    """What a hook may know about the request around it."""

    clock: Clock
    rng: random.Random
    user: User
    read: Reader
    allocators: Mapping[str, Any] = field(default_factory=dict)
    """By name, as the composition root gave them to `App`: the strategies' own agreement."""
    dry_run: bool = False
    served: Resource | None = None
    """The resource as the request names it, which may be another version or group than the stored one."""
    undo: list[Callable[[], None]] = field(default_factory=list)
    ended: list[Callable[[], None]] = field(default_factory=list)
    """Called once the write is over, however it went: until then an admission plugin counts it as under way."""

    def on_failure(self, callback: Callable[[], None]) -> None:
        """Give back what a prepare hook took: called when the write is refused, fails or is a dry run."""
        self.undo.append(callback)


class Strategy:
    """The rules of one resource; everything generic already works."""

    allow_create_on_update: ClassVar[bool] = False
    """PUT of a name that does not exist creates it."""
    allow_unconditional_update: ClassVar[bool] = True
    """PUT without metadata.resourceVersion overwrites."""
    has_status: ClassVar[bool | None] = None
    """None: as the catalogue says (there is a status subresource)."""
    converts_labels: ClassVar[bool] = False
    """A selector of an unknown field is told off in the words of kinds that have fields of their own, even if it has none."""
    any_finalizer: ClassVar[bool] = False
    """Finalizers need no domain (CustomResourceDefinitions and their objects)."""
    returns_deleted: ClassVar[bool] = False
    """DELETE answers with the object as it was instead of a Status."""
    default_orphan: ClassVar[bool] = False
    """Dependants are orphaned when nobody says otherwise (Jobs of batch/v1, for compatibility)."""
    said: ClassVar[str] = ""
    """What errors call the resource, where that is not its name."""
    checks_metadata_again: ClassVar[bool] = False
    """Kubernetes' own validation of an update of this kind looks at metadata once more, so that its causes come once more."""
    lies_on_nodes: ClassVar[bool] = False
    """Objects have a `spec.nodeName`, which may be empty, and `fields` names it."""
    may_be_heavy: ClassVar[bool] = False
    """Validation runs expressions somebody wrote (`apiserver/patience.py`)."""
    has_generation: ClassVar[bool | None] = None
    """Whether metadata.generation counts changes of the spec; None: whenever the kind has a spec and a status subresource."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        subresources = {getattr(entry, "name", entry) for entry in resource.subresources}
        self._status = "status" in subresources if self.has_status is None else self.has_status
        self._generation = self._status if self.has_generation is None else self.has_generation

    # -- filling in

    def default(self, obj: Obj) -> None:
        """Fill in defaults in place; `obj` is this request's private draft. Called for creates and for updates."""

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        """Reset what a creator may not set; allocate what the server chooses."""
        if self._status:
            obj.pop("status", None)
        if self._generation:
            obj["metadata"]["generation"] = 1

    def prepare_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        """Keep what this path may not change (status); count a changed spec."""
        if self._status:
            _keep(obj, old, "status")
        if self._generation:
            self.count_generation(obj, old)

    def prepare_status_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        """PUT and PATCH of `status`: only status and the open parts of metadata come through."""
        status = obj.get("status")
        metadata = obj["metadata"]
        obj.clear()
        obj.update(old)
        obj["metadata"] = {**old["metadata"], **{k: metadata[k] for k in _STATUS_METADATA if k in metadata}}
        for key in _STATUS_METADATA:
            if key not in metadata:
                obj["metadata"].pop(key, None)
        if status is None:
            obj.pop("status", None)
        else:
            obj["status"] = status

    def count_generation(self, obj: Obj, old: Obj) -> None:
        """metadata.generation goes up when anything but metadata and status changed."""
        generation = old["metadata"].get("generation", 0)
        changed = any(
            obj.get(key) != old.get(key) for key in obj.keys() | old.keys() if key not in ("metadata", "status")
        )
        if changed:
            generation += 1
        if generation:
            obj["metadata"]["generation"] = generation
        else:
            obj["metadata"].pop("generation", None)

    # -- refusing

    def validate_name(self, name: str, prefix: bool = False) -> list[str]:
        """What is wrong with a name, in Kubernetes' words; a DNS-1123 subdomain by default. `prefix`: a generateName."""
        return names.dns1123_subdomain(mask_prefix(name) if prefix else name)

    def validate(self, obj: Obj) -> list[Cause]:
        """What is wrong with the whole object, beyond metadata. Also called for updates, before `validate_update`."""
        return []

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        """What may not change."""
        return []

    def check_new(self, obj: Obj, ctx: Context) -> list[Cause]:
        """What is wrong with an object somebody creates: `validate`, save for kinds whose rules depend on the request."""
        return self.validate(obj)

    def check_changed(self, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        """What is wrong with an update: both rules, save for kinds that let be what was there before."""
        return self.validate(obj) + self.validate_update(obj, old)

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return []

    def warnings(self, obj: Obj, old: Obj | None) -> list[str]:
        """Texts of `Warning: 299` headers; `old` is None on create."""
        return []

    # -- reading and ending

    def fields(self, obj: Obj) -> Mapping[str, str]:
        """What a fieldSelector may name, beside metadata.name and metadata.namespace. Must also take `{}`: its keys are the
        supported labels."""
        return {}

    def spoken_fields(self, served: Resource) -> Mapping[str, str] | None:
        """Field labels of another version or group of the kind -> those of `fields`; None where they are the same."""
        return None

    def graceful(self, obj: Obj, options: Obj) -> int | None:
        """Seconds between the deletion timestamp and the end (pods); None: gone at once. `options` is DeleteOptions."""
        return None

    def kept_for_good(self, obj: Obj) -> str:
        """Why nobody may delete it; empty for what anybody with the right may."""
        return ""

    def prepare_delete(self, obj: Obj, ctx: Context) -> None:
        """Called on the draft that first gets a deletionTimestamp and stays for now (a Namespace turns Terminating)."""

    def held(self, obj: Obj) -> bool:
        """Whether something beside metadata.finalizers keeps a deleted object (spec.finalizers of a Namespace)."""
        return False

    # -- after the write stood

    def after_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        """Release what the new object no longer holds."""

    def after_delete(self, obj: Obj, ctx: Context) -> None:
        """Release what the object held."""


def mask_prefix(prefix: str) -> str:
    """A generateName as it is validated: what follows a trailing dash will be there."""
    return prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix


_STATUS_METADATA = ("managedFields", "resourceVersion")


def _keep(obj: Obj, old: Obj, key: str) -> None:
    """Let `obj[key]` be what it was."""
    if key in old:
        obj[key] = old[key]
    else:
        obj.pop(key, None)
