"""Which part of an object an update may touch: the whole, its status, or a named piece.

A scope edits the draft so that everything outside it is what is stored, then asks the strategy what is wrong.
"""

from __future__ import annotations

from typing import Protocol

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.apply.entries import entries_of, put
from wherry.apiserver.registry import pod_resize
from wherry.apiserver.registry.certificate_signing_request import CertificateSigningRequestStrategy
from wherry.apiserver.registry.namespace import NamespaceStrategy
from wherry.apiserver.registry.strategy import Context, Strategy
from wherry.apiserver.registry.validation import field
from wherry.apiserver.registry.validation.pod_annotations import MIRROR


class Scope(Protocol):
    """One way into an object."""

    def prepare(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> None: ...

    def validate(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> list[Cause]: ...


class Main:
    """PUT and PATCH of the object itself."""

    def prepare(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> None:
        strategy.prepare_update(obj, old, ctx)

    def validate(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        return strategy.check_changed(obj, old, ctx)


class Status:
    """`/status`."""

    def prepare(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> None:
        strategy.prepare_status_update(obj, old, ctx)

    def validate(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        return strategy.validate_status_update(obj, old)


class Finalize:
    """`/finalize` of a Namespace: only spec.finalizers."""

    def prepare(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> None:
        finalizers = (obj.get("spec") or {}).get("finalizers") or []
        restore(obj, old)
        spec = {key: value for key, value in old.get("spec", {}).items() if key != "finalizers"}
        if finalizers:
            spec["finalizers"] = finalizers
        obj["spec"] = spec

    def validate(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        assert isinstance(strategy, NamespaceStrategy)
        return strategy.check_finalizers(obj)


class Approval:
    """`/approval` of a CertificateSigningRequest: only status.conditions."""

    def prepare(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> None:
        conditions = (obj.get("status") or {}).get("conditions") or []
        restore(obj, old)
        obj["status"] = {**old.get("status", {}), "conditions": conditions}
        assert isinstance(strategy, CertificateSigningRequestStrategy)
        strategy.prepare_approval(obj, old, ctx)

    def validate(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        assert isinstance(strategy, CertificateSigningRequestStrategy)
        return strategy.validate_approval(obj, old)


class EphemeralContainers:
    """`/ephemeralcontainers` of a Pod: containers may be added, never changed or removed."""

    def prepare(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> None:
        containers = (obj.get("spec") or {}).get("ephemeralContainers") or []
        restore(obj, old)
        if containers or "ephemeralContainers" in old["spec"]:
            obj["spec"] = {**old["spec"], "ephemeralContainers": containers}
        strategy.count_generation(obj, old)

    def validate(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        if MIRROR in (old["metadata"].get("annotations") or {}):
            return [field.forbidden("[]", "static pods do not support ephemeral containers")]
        new = {each["name"]: each for each in obj["spec"].get("ephemeralContainers", [])}
        causes = strategy.validate(obj)
        path = "spec.ephemeralContainers"
        for each in old["spec"].get("ephemeralContainers", []):
            name = field.quote(each["name"])
            if each["name"] not in new:
                causes.append(field.forbidden(path, f"existing ephemeral containers {name} may not be removed\n"))
            elif new[each["name"]] != each:
                causes.append(field.forbidden(path, f"existing ephemeral containers {name} may not be changed\n"))
        return causes


class Resize:
    """`/resize` of a Pod: only the resources of its containers."""

    def prepare(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> None:
        spec = pod_resize.taken(obj.get("spec") or {}, old["spec"])
        restore(obj, old)
        obj["spec"] = spec
        strategy.count_generation(obj, old)

    def validate(self, strategy: Strategy, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        return pod_resize.unsupported(old) or strategy.validate(obj) + pod_resize.rules(obj, old)


def restore(obj: Obj, old: Obj) -> None:
    """Make the draft the stored object again, keeping only the resourceVersion it was sent with and its new owners."""
    metadata = {**old["metadata"], "resourceVersion": obj["metadata"].get("resourceVersion")}
    put(metadata, entries_of(obj))
    obj.clear()
    obj.update(old)
    obj["metadata"] = metadata


MAIN = Main()
SCOPES: dict[str, Scope] = {
    "": MAIN,
    "status": Status(),
    "finalize": Finalize(),
    "approval": Approval(),
    "ephemeralcontainers": EphemeralContainers(),
    "resize": Resize(),
}
