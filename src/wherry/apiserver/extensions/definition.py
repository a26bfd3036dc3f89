"""CustomResourceDefinitions: the strategy of the kind itself. What follows from one is done by `manager.py`."""

from __future__ import annotations

from wherry.aio.clock import rfc3339
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.extensions import definition_rules
from wherry.apiserver.extensions.naming import FINALIZER, with_condition
from wherry.apiserver.registry.built_in import BuiltIn
from wherry.apiserver.registry.strategy import Context

PENDING = (
    "InstanceDeletionPending",
    "CustomResourceDefinition marked for deletion; CustomResource deletion will be issued as soon as possible.",
)


class CustomResourceDefinitionStrategy(BuiltIn):
    has_generation = True
    allow_unconditional_update = False
    any_finalizer = True
    may_be_heavy = True

    def default(self, obj: Obj) -> None:
        super().default(obj)
        spec, status = obj["spec"], obj.get("status")
        names = spec.get("names")
        if names is None:
            names = spec["names"] = {}
        kind = names.get("kind") or ""
        if not names.get("singular") and kind:
            names["singular"] = kind.lower()
        if not names.get("listKind") and kind:
            names["listKind"] = f"{kind}List"
        if spec.get("conversion") is None:
            spec["conversion"] = {"strategy": "None"}
        webhook = (spec["conversion"].get("webhook") or {}).get("clientConfig") or {}
        if webhook.get("service") is not None:
            webhook["service"].setdefault("port", 443)
        if spec.get("preserveUnknownFields") is False:
            del spec["preserveUnknownFields"]
        if isinstance(status, dict):
            _default_stored(status, spec)

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        obj["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}}
        _default_stored(obj["status"], obj["spec"])

    def prepare_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        super().prepare_update(obj, old, ctx)
        status = obj.get("status") or {}
        stored = list(status.get("storedVersions") or [])
        storage = _storage_version(obj["spec"])
        if storage and storage not in stored:
            obj["status"] = {**status, "storedVersions": [*stored, storage]}

    def prepare_status_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        """Metadata belongs to the object itself."""
        metadata = {
            **old["metadata"],
            **{key: obj["metadata"][key] for key in ("managedFields", "resourceVersion") if key in obj["metadata"]},
        }
        super().prepare_status_update(obj, old, ctx)
        obj["metadata"] = metadata

    def validate(self, obj: Obj) -> list[Cause]:
        return definition_rules.definition(obj) + definition_rules.approval(obj, None)

    def check_changed(self, obj: Obj, old: Obj, ctx: Context) -> list[Cause]:
        causes = definition_rules.definition(obj, old) + definition_rules.changes(obj, old)
        return causes + definition_rules.approval(obj, old)

    def validate_status_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return definition_rules.status(obj)

    def held(self, obj: Obj) -> bool:
        """The first DELETE only marks it: its objects go first."""
        return "deletionTimestamp" not in obj["metadata"]

    def prepare_delete(self, obj: Obj, ctx: Context) -> None:
        metadata = obj["metadata"]
        finalizers = metadata.get("finalizers") or []
        if FINALIZER not in finalizers:
            metadata["finalizers"] = [*finalizers, FINALIZER]
        obj["status"] = with_condition(
            obj.get("status") or {}, "Terminating", "True", *PENDING, rfc3339(ctx.clock.time())
        )


def _storage_version(spec: Obj) -> str:
    versions = spec.get("versions") or []
    return next((each.get("name", "") for each in versions if each.get("storage")), "")


def _default_stored(status: Obj, spec: Obj) -> None:
    storage = _storage_version(spec)
    if not status.get("storedVersions") and storage:
        status["storedVersions"] = [storage]
