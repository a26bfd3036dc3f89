"""PodTemplates, ControllerRevisions and RuntimeClasses: small kinds others refer to."""

from __future__ import annotations

from wherry.api import names
from wherry.api.errors import Cause
from wherry.api.types import Obj
from wherry.apiserver.registry import pod_defaults
from wherry.apiserver.registry.built_in import section
from wherry.apiserver.registry.strategy import Strategy
from wherry.apiserver.registry.validation import field as f
from wherry.apiserver.registry.validation import pod_spec, resources, scheduling


class PodTemplateStrategy(Strategy):
    has_generation = True
    returns_deleted = True

    def default(self, obj: Obj) -> None:
        pod_defaults.default_template(section(obj, "template"))

    def validate(self, obj: Obj) -> list[Cause]:
        return pod_spec.template(obj["template"], "template")


class ControllerRevisionStrategy(Strategy):
    """A snapshot: its data never changes."""

    def default(self, obj: Obj) -> None:
        obj.setdefault("revision", 0)

    def validate(self, obj: Obj) -> list[Cause]:
        return f.non_negative(obj["revision"], "revision")

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return f.unchanged(obj.get("data"), old.get("data"), "data")


class RuntimeClassStrategy(Strategy):
    allow_create_on_update = True
    allow_unconditional_update = False

    def default(self, obj: Obj) -> None:
        overhead = obj.get("overhead")
        if overhead is not None and overhead.get("podFixed"):
            overhead["podFixed"] = pod_defaults.canonical_list(overhead["podFixed"])

    def validate(self, obj: Obj) -> list[Cause]:
        handler = obj.get("handler") or ""
        causes = (
            f.each_invalid("handler", handler, names.dns1123_label(handler)) if handler else [f.required("handler")]
        )
        fixed = f.as_dict(f.as_dict(obj.get("overhead")).get("podFixed"))
        causes += resources.requirements({"limits": fixed}, (), "overhead")
        where = f.as_dict(obj.get("scheduling"))
        causes += f.labels(where.get("nodeSelector"), "scheduling.nodeSelector")
        tolerations = f.as_list(where.get("tolerations"))
        causes += scheduling.tolerations(tolerations, "scheduling.tolerations")
        return causes + [
            f.duplicate(f"scheduling.tolerations[{i}]", each)
            for i, each in enumerate(tolerations)
            if each in tolerations[:i]
        ]

    def validate_update(self, obj: Obj, old: Obj) -> list[Cause]:
        return f.unchanged(obj.get("handler"), old.get("handler"), "handler")
