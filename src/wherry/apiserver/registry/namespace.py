"""Namespaces: a finalizer of their own, a phase, and a label that carries their name."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import LabelNamed, section, text
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f

FINALIZER = "kubernetes"
NAME_LABEL = "kubernetes.io/metadata.name"


class NamespaceStrategy(LabelNamed):
    has_generation = False
    returns_deleted = True

    def default(self, obj: Obj) -> None:
        super().default(obj)
        name = obj["metadata"].get("name")
        if name:
            section(obj["metadata"], "labels")[NAME_LABEL] = name

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        obj["status"] = {"phase": "Active"}
        name = obj["metadata"].get("name")
        if name:
            section(obj["metadata"], "labels")[NAME_LABEL] = name
        finalizers = obj["spec"].get("finalizers") or []
        if FINALIZER not in finalizers:
            obj["spec"]["finalizers"] = [*finalizers, FINALIZER]

    def prepare_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        super().prepare_update(obj, old, ctx)
        obj["spec"] = old.get("spec", {})

    def prepare_delete(self, obj: Obj, ctx: Context) -> None:
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}

    def held(self, obj: Obj) -> bool:
        return bool((obj.get("spec") or {}).get("finalizers"))

    def validate(self, obj: Obj) -> list[Cause]:
        """Of finalizers by themselves; an update by anything but `/finalize` leaves them alone."""
        return self.check_finalizers(obj, "spec.finalizers")

    def check_finalizers(self, obj: Obj, *paths: str) -> list[Cause]:
        """`paths`: one for all of them, or the `/finalize` way, one each."""
        causes: list[Cause] = []
        for i, finalizer in enumerate(f.as_list(obj["spec"].get("finalizers"))):
            at = paths[0] if paths else f"spec.finalizers[{i}]"
            causes += f.each_invalid(at, finalizer, names.qualified_name(finalizer))
            if "/" not in finalizer and finalizer != FINALIZER:
                detail = "name is neither a standard finalizer name nor is it fully qualified"
                causes.append(f.invalid(at, finalizer, detail))
        return causes

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        phase = text(obj, "status", "phase")
        if obj["metadata"].get("deletionTimestamp"):
            if phase != "Terminating":
                detail = "may only be 'Terminating' if `deletionTimestamp` is not empty"
                return [f.invalid("status.Phase", phase, detail)]
        elif phase != "Active":
            return [f.invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")]
        return []

    def fields(self, obj: Obj) -> Mapping[str, str]:
        # The resource's own name for this label; older clients ask by it.
        return {"status.phase": text(obj, "status", "phase"), "name": text(obj, "metadata", "name")}
