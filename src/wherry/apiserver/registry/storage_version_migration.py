"""StorageVersionMigrations: a wish that every object of a resource be written anew. Here each is shown in the stored version
whichever wrote it (`stored_versions.py`), so nothing waits for one."""

from __future__ import annotations

from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry.built_in import BuiltIn
from wherry.apiserver.registry.validation import field as f


class StorageVersionMigrationStrategy(BuiltIn):
    has_generation = False

    def validate(self, obj: Obj) -> list[Cause]:
        resource = f.as_dict(obj["spec"].get("resource"))
        return [] if resource.get("resource") else [f.required("spec.resource.resource", "resource is required")]

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return f.unchanged(obj["spec"].get("resource"), old["spec"].get("resource"), "spec.resource")
