"""PersistentVolumes: one source, for life."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn, fill
from wherry.apiserver.registry.pod import difference
from wherry.apiserver.registry.pod_defaults import canonical_list, default_volume
from wherry.apiserver.registry.strategy import Context
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import persistent_volume as rules

_IMMUTABLE = "spec.persistentvolumesource is immutable after creation"


class PersistentVolumeStrategy(BuiltIn):
    checks_metadata_again = True
    has_generation = False
    returns_deleted = True

    def default(self, obj: Obj) -> None:
        super().default(obj)
        spec = obj["spec"]
        fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
        if spec.get("capacity"):
            spec["capacity"] = canonical_list(spec["capacity"])
        for kind in rules.SOURCES:
            if spec.get(kind) is not None:
                default_volume({"name": "", kind: spec[kind]})

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        obj["status"] = {"phase": "Pending"}

    def validate(self, obj: Obj) -> list[Cause]:
        return rules.spec(obj["spec"], "spec", obj["metadata"].get("name") or "")

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        new, stored = obj["spec"], old["spec"]
        before, now = ({kind: spec[kind] for kind in rules.SOURCES if kind in spec} for spec in (stored, new))
        causes: list[Cause] = []
        if before != now:
            causes.append(f.forbidden("spec.persistentvolumesource", f"{_IMMUTABLE}\n{difference(before, now)}"))
        causes += f.unchanged(new.get("volumeMode"), stored.get("volumeMode"), "volumeMode")
        if stored.get("nodeAffinity"):
            causes += f.unchanged(new.get("nodeAffinity"), stored["nodeAffinity"], "nodeAffinity")
        if stored.get("volumeAttributesClassName") is not None and new.get("volumeAttributesClassName") is None:
            causes.append(
                f.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")
            )
        return causes
