"""What the built-in kinds share beyond the generic rules: how status updates keep the rest, and empty objects.

Kubernetes lets a status update through with labels, annotations and finalizers of the object; only what lies outside
metadata and status is kept as stored.
"""

from __future__ import annotations

from typing import Any, ClassVar

from wherry.api import names
from wherry.api.types import Obj
from wherry.apiserver.registry.strategy import Context, Strategy


class BuiltIn(Strategy):
    """A kind with a spec."""

    empty_status: ClassVar[Obj | None] = None
    """What `status` looks like in a new object, as the wire has it."""
    condition_times: ClassVar[tuple[str, ...]] = ("lastTransitionTime",)
    """Moments every condition of the status has, null when nobody said them."""

    def default(self, obj: Obj) -> None:
        """Even an object sent without one has a spec."""
        section(obj, "spec")

    def prepare_create(self, obj: Obj, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        if self.empty_status is not None:
            obj["status"] = dict(self.empty_status)

    def prepare_status_update(self, obj: Obj, old: Obj, ctx: Context) -> None:
        status, metadata = obj.get("status"), obj["metadata"]
        generation = old["metadata"].get("generation")
        obj.clear()
        obj.update(old)
        obj["metadata"] = metadata
        if generation is not None:
            metadata["generation"] = generation
        if status is None:
            obj.pop("status", None)
            if self.empty_status is not None:
                obj["status"] = dict(self.empty_status)
        else:
            for condition in status.get("conditions") or []:
                for key in self.condition_times:
                    condition.setdefault(key, None)
            obj["status"] = status


class LabelNamed(BuiltIn):
    """Kinds whose names become host names: DNS-1123 labels."""

    def validate_name(self, name: str, prefix: bool = False) -> list[str]:
        return names.dns1123_label(masked(name) if prefix else name)


class PathNamed(BuiltIn):
    """Kinds whose names are only path segments (RBAC)."""

    def validate_name(self, name: str, prefix: bool = False) -> list[str]:
        return names.path_segment(masked(name) if prefix else name)


def masked(prefix: str) -> str:
    """A generateName may end with a dash: what follows it is a letter or a digit."""
    return prefix[:-1] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix


def section(obj: Obj, key: str) -> Obj:
    """`obj[key]` as a dict, made when absent or null."""
    value = obj.get(key)
    if value is None:
        value = obj[key] = {}
    assert isinstance(value, dict), "structure was checked before"
    return value


def fill(target: Obj, **defaults: Any) -> None:
    """Set what is absent, null or an empty string: Go's zero values for pointers and strings."""
    for key, value in defaults.items():
        if target.get(key) is None or target[key] == "":
            target[key] = value


def text(obj: Obj, *path: str) -> str:
    """A string somewhere inside, empty when anything on the way is missing; booleans as JSON writes them."""
    value: Any = obj
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def quantity_text(obj: Obj, *path: str) -> str:
    """An integer somewhere inside, `0` when missing."""
    return text(obj, *path) or "0"
